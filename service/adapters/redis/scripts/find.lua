-- One page of the keys of a team whose names fit a pattern. Inside a script, because that runs where the team's keys
-- are: a bare SCAN asks any server of a cluster.
--
-- KEYS[1]   any key of the team
-- ARGV[1]   cursor, '0' at first   ARGV[2]   pattern   ARGV[3]   how many to look at
-- Returns   {next cursor, names}; the cursor is '0' at the end

return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
