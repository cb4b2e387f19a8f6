-- Reads what the replicas of the sidecar say of the workers that follow them.
-- Atomic, because the age of a record counts from the moment of the reading.
--
-- KEYS[1]  the records of all replicas
-- Reply    the time in milliseconds, and the records: for each its replica, with `gone:` before it where it
--          has been marked as gone; and when it was written or marked,
--          for how long it lives and what it says, with blanks between
return {now_millis(), redis.call('HGETALL', KEYS[1])}
