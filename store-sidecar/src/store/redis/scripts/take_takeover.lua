-- Reads what a login said that was refused for want of room, once.
-- Atomic, so that of two who ask one has it.
--
-- KEYS[1]  the login
-- Reply    what it said; nil: there is none, or another has had it
local login = redis.call('HGET', KEYS[1], 'login')
redis.call('DEL', KEYS[1])
return login
