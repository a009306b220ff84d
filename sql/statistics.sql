-- The shipped rows are too few for autovacuum ever to look at them, and without
-- statistics plans are made for hundreds of rules.
ANALYZE eiot.counting_rule;
ANALYZE eiot.sku;
ANALYZE eiot.device_type;
ANALYZE eiot.fingerprint;
