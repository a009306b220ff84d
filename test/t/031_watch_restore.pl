# Watched inventories through dump and restore, changes of their tables, replication roles, prepared transactions, pg_cron.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $have_cron = -e (qx(pg_config --sharedir) =~ s/\n//r) . '/extension/pg_cron.control';
my $node = new_cluster('watch_restore', 'max_prepared_transactions = 10',
	$have_cron ? ("shared_preload_libraries = 'pg_cron'", "cron.database_name = 'original'", "cron.use_background_workers = on") : ());
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
CREATE FUNCTION asset.tenant(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
  RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT asset.tenant(i), 'Tenant ' || i FROM generate_series(1, 4) i;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units)
SELECT tenant_id, 'b2f91841-252f-4765-94c3-75802d7c0ddb', 10 FROM eiot.tenant;
SELECT eiot.create_inventory('asset.device'), eiot.create_inventory('asset."Device, split"', 3);
SELECT eiot.watch('asset.device'), eiot.watch('asset."Device, split"');
INSERT INTO asset.device (tenant_id, device_id, category, last_seen)
SELECT asset.tenant(n), 'd' || i, 'IoT', now() FROM generate_series(1, 4) n, generate_series(1, 4 * n) i;
INSERT INTO asset."Device, split" (tenant_id, device_id, category, last_seen)
SELECT asset.tenant(n), 's' || i, 'IoT', now() FROM generate_series(1, 4) n, generate_series(1, 2) i;
SELECT eiot.set_alert(asset.tenant(4), '50%', '10%');
});

my $state = q{
SELECT tenant, devices, counted, capacity, gap, under_licensed, since FROM eiot.tenant_coverage ORDER BY tenant_id;
SELECT * FROM eiot.flag_event ORDER BY flag_event_id;
};
my $flags = q{SELECT count(*) FROM eiot.flag_event};

sub right
{
	my ($db, $when) = @_;
	is($node->safe_psql($db, q{SELECT i.inventory, c.* FROM eiot.watched_inventory i CROSS JOIN LATERAL eiot.check_watch(i.inventory) c}),
		'', "$when: counts as recounted");
	is( $node->safe_psql($db, q{
			SELECT c.tenant, c.devices, c.counted, n.devices, n.counted
			  FROM eiot.tenant_coverage c
			  JOIN (SELECT tenant_id, sum(devices) AS devices, sum(counted) AS counted
			          FROM (TABLE asset.device_coverage UNION ALL TABLE asset."Device, split_coverage") v GROUP BY 1) n USING (tenant_id)
			 WHERE (c.devices, c.counted) IS DISTINCT FROM (n.devices, n.counted)}),
		'', "$when: the view is the sum of the inventories'");
	return;
}

right('original', 'at first');
my $before = $node->safe_psql('original', $state);
like($before, qr/^Tenant 3\|14\|14\|10\|4\|t\|2/m, 'who is above is flagged');
is($node->safe_psql('original', $flags), '2', 'two are, one of them by percent');

# ---- dump and restore

sub live_on
{
	my ($db, $how) = @_;
	is($node->safe_psql($db, $state), $before, "$how: same counts and flags, with no refresh");
	right($db, $how);
	is($node->safe_psql($db, 'SELECT eiot.refresh()'), '0', "$how: no flag is raised again");
	is($node->safe_psql($db, $state), $before, "$how: nor are counts doubled");
	is($node->safe_psql($db, 'SELECT count(*) FROM eiot.live_count b WHERE b.epoch <> eiot.watch_epoch(b.watch_id)'), '0',
		"$how: counted anew");
	$node->safe_psql($db, q{
		INSERT INTO asset.device (tenant_id, device_id, category, last_seen)
		SELECT asset.tenant(1), 'n' || i, 'IoT', now() FROM generate_series(1, 5) i;
		DELETE FROM asset."Device, split" WHERE tenant_id = asset.tenant(3)});
	is($node->safe_psql($db, 'SELECT kind, devices FROM eiot.flag_event ORDER BY flag_event_id OFFSET 2'), 'raised|11', "$how: watched");
	right($db, "$how, written to");
	return;
}

$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", 'original' ], 'plain dump');
$node->safe_psql('postgres', 'CREATE DATABASE plain TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-o', "$dir/out", '-f', "$dir/plain.sql" ], 'plain restore');
is($node->safe_psql('plain', $state), $before, 'plain: right before any refresh');
$node->safe_psql('plain', 'SELECT eiot.refresh()');
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE plain');
live_on('plain', 'plain');
live_on('copied', 'a copied database');

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", 'original' ], 'custom dump');
$node->safe_psql('postgres', 'CREATE DATABASE halves TEMPLATE template0');
for my $step ([qw(--section=pre-data --section=post-data)], [qw(--section=data -n eiot)], [qw(--section=data -N eiot)])
{
	$node->command_ok([ 'pg_restore', '-d', 'halves', @$step, "$dir/custom" ], "restore, @$step");
}
live_on('halves', 'data loaded under the triggers');

# ---- what happens to the tables

$node->safe_psql('original', q{
BEGIN;
TRUNCATE asset."Device, split_p0";
ROLLBACK});
right('original', 'TRUNCATE rolled back');
is($node->safe_psql('original', q{
		BEGIN;
		TRUNCATE asset."Device, split_p0", asset.device;
		INSERT INTO asset.device (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(1), 'd1', 'IoT', now());
		SELECT count(*) FROM eiot.tenant_coverage c
		  JOIN (SELECT tenant_id, sum(counted) AS counted FROM (TABLE asset.device_coverage UNION ALL TABLE asset."Device, split_coverage") v GROUP BY 1) n
		    USING (tenant_id, counted);
		ROLLBACK}), '4', 'within a transaction that truncates the view is right');
for my $statement (
	'TRUNCATE asset."Device, split_p0"',
	q{INSERT INTO asset."Device, split" (tenant_id, device_id, category) SELECT asset.tenant(n), 'x' || i, 'IoT' FROM generate_series(1, 4) n, generate_series(1, 3) i},
	'ALTER TABLE asset."Device, split" DETACH PARTITION asset."Device, split_p1"',
	'ALTER TABLE asset."Device, split" ATTACH PARTITION asset."Device, split_p1" FOR VALUES WITH (MODULUS 3, REMAINDER 1)',
	'DELETE FROM asset."Device, split_p1"',
	q{COPY asset."Device, split" (tenant_id, device_id, category) FROM PROGRAM 'printf "00000000-0000-4000-8000-000000000001\tc1\tIoT\n00000000-0000-4000-8000-000000000004\tc1\tIoT\n"'},
	q{SET session_replication_role = replica; DELETE FROM asset.device WHERE device_id = 'd1'; SET session_replication_role = origin},
	q{BEGIN; UPDATE asset.device SET category = 'Endpoint' WHERE device_id = 'd2'; PREPARE TRANSACTION 'p'},
	q{COMMIT PREPARED 'p'},
	q{INSERT INTO asset.device (tenant_id, device_id, category) VALUES (asset.tenant(2), 'd1', 'IoT') ON CONFLICT (tenant_id, device_id) DO UPDATE SET category = EXCLUDED.category},
	q{UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE tenant_id = asset.tenant(2)},
	q{UPDATE asset.device SET category = 'Network device' WHERE device_id = 'd3'},
	q{UPDATE eiot.counting_rule SET inactive_after = '1 hour' WHERE name = '2026-07'},
	q{UPDATE asset.device SET last_seen = now() - interval '2 hours' WHERE device_id IN ('d3', 'd4')},
	q{UPDATE asset.device SET last_seen = now() WHERE device_id IN ('d4')},
	q{UPDATE eiot.counting_rule SET inactive_after = NULL WHERE name = '2026-07'},
	'ALTER TABLE asset.device RENAME TO machine; ALTER TABLE asset.machine RENAME TO device',
	'DROP TABLE asset."Device, split_p2"')
{
	$node->safe_psql('original', $statement);
	right('original', substr $statement, 0, 70);
}
like(fails($node, 'original', '0A000', q{
		BEGIN; INSERT INTO asset.device (tenant_id, device_id, category) SELECT asset.tenant(1), 'p' || i, 'IoT' FROM generate_series(1, 20) i;
		PREPARE TRANSACTION 'q'}),
	qr/cannot prepare a transaction that raises a tenant's flag/, 'a flag cannot be prepared');
right('original', 'after that');
is($node->safe_psql('original', q{
		DO $$ BEGIN FOR i IN 1 .. 3 LOOP INSERT INTO asset.device (tenant_id, device_id, category) VALUES (asset.tenant(1), 'do' || i, 'IoT'); COMMIT; END LOOP; END $$;
		SELECT count(*) FROM asset.device WHERE device_id LIKE 'do%'}), '3', 'COMMIT within a procedure');
right('original', 'after that');

# ---- rights

$node->safe_psql('original', q{
CREATE ROLE writer LOGIN;
GRANT USAGE ON SCHEMA asset TO writer;
GRANT SELECT, INSERT ON asset.device TO writer;
ALTER TABLE asset.device DISABLE ROW LEVEL SECURITY});
$node->safe_psql('original', q{INSERT INTO asset.device (tenant_id, device_id, category) VALUES (asset.tenant(1), 'w', 'IoT')},
	extra_params => [ '-U', 'writer' ]);
right('original', 'written by somebody without rights on schema eiot');
isnt(fails($node, 'original', '42501', q{SELECT eiot.refresh()}, extra_params => [ '-U', 'writer' ]), '', 'who may not refresh');
isnt(fails($node, 'original', '42501', q{SELECT eiot.unwatch('asset.device')}, extra_params => [ '-U', 'writer' ]), '', 'nor unwatch');
isnt(fails($node, 'original', '42501', q{CREATE TEMP TABLE t (); CREATE TRIGGER t AFTER TRUNCATE ON t EXECUTE FUNCTION eiot.watch_truncated('1')},
		extra_params => [ '-U', 'writer' ]), '', 'nor put the triggers on tables');

# ---- pg_cron

SKIP:
{
	skip 'pg_cron is not installed', 2 unless $have_cron;
	$node->safe_psql('original', q{
		CREATE EXTENSION pg_cron;
		UPDATE eiot.counting_rule SET inactive_after = '3 seconds' WHERE name = '2026-07';
		UPDATE eiot.tenant SET counting_rule = NULL;
		TRUNCATE asset.device;
		INSERT INTO asset.device (tenant_id, device_id, category, last_seen) SELECT asset.tenant(3), 'c' || i, 'IoT', now() FROM generate_series(1, 30) i;
		SELECT cron.schedule('eiot-refresh', '* * * * *', 'SELECT eiot.refresh()')});
	my $last = q{SELECT kind FROM eiot.flag_event WHERE tenant_id = asset.tenant(3) ORDER BY flag_event_id DESC LIMIT 1};
	is($node->safe_psql('original', $last), 'raised', 'raised by the insert');
	ok($node->poll_query_until('original', $last, 'cleared'), 'cleared by pg_cron, when the devices had fallen silent');
	right('original', 'after pg_cron');
}

# ---- the end

$node->safe_psql('original', q{
	SET client_min_messages = warning;
	SELECT eiot.release_inventory('asset.device'), eiot.release_inventory('asset."Device, split"')});
is($node->safe_psql('original', 'SELECT (SELECT count(*) FROM eiot.watched), (SELECT count(*) FROM eiot.live_count)'), '0|0',
	'release_inventory stops watching');
$node->safe_psql('original', 'SET client_min_messages = warning; DROP EXTENSION IF EXISTS pg_cron; DROP EXTENSION eiot');
is($node->safe_psql('original', q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'eiot%'; SELECT count(*) FROM pg_event_trigger}),
	"0\n0", 'and nothing is left of it');

$node->stop;
done_testing();
