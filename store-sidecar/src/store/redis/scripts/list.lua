-- Says which sessions a user's index has, and drops from it those whose time is over.
-- Atomic, because none may be dropped that is entered meanwhile.
--
-- KEYS[1]  the user's index
-- Reply    the ids of the sessions
tidy(KEYS[1], now())
return redis.call('ZRANGE', KEYS[1], 0, -1)
