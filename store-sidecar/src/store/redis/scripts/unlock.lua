-- Forgets what a counter of failed logins has counted, and its lock.
-- A script like all others, so that it finds its server as they do.
--
-- KEYS[1]  the counter
-- Reply    OK
redis.call('DEL', KEYS[1])
return redis.status_reply('OK')
