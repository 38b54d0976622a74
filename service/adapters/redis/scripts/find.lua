-- Return a page of the team's keys that match a pattern. A script runs on the server of the team's keys; a plain SCAN
-- would ask any server of a cluster.
--
-- KEYS[1]   any key of the team
-- ARGV[1]   cursor, '0' at first   ARGV[2]   pattern   ARGV[3]   number of keys to scan
-- Returns   {next cursor, names}; the cursor is '0' at the end

return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
