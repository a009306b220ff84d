# Rows are collected while a statement runs, but for updates that leave a device counting as before: the commit sees that they
# still may be left out. What was collected is counted once, whatever happens before the statement ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use WatchSessions;

# Without prepared transactions, for which nothing is left out.
my $node = new_cluster('rows', 'max_prepared_transactions = 0', 'autovacuum = off');
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
watch_two_inventories($node, 'd', 3, 100);
# Half a second after its start a statement's heartbeats are late.
my $silent_after = 4;
$node->safe_psql('d', "UPDATE eiot.counting_rule SET inactive_after = '$silent_after s'");
$node->safe_psql('d', q{
CREATE TABLE asset.own (owner uuid, device text PRIMARY KEY, seen timestamptz, kind eiot.device_class, excluded boolean);
SELECT eiot.watch('asset.own', 'owner', 'seen', 'kind', excluded => 'excluded')});

my $counted = "SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant(1)";
my $right = sub {
	my ($what) = @_;
	return is($node->safe_psql('d', q{SELECT i, c.* FROM unnest('{asset.device,asset.split,asset.own}'::regclass[]) i, eiot.check_watch(i) c}),
		'', "$what: counts are those of a recount");
};
my %table = (
	'asset.device' => q{INSERT INTO asset.device (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(1), 'a', 'IoT', clock_timestamp())},
	'asset.split' => q{INSERT INTO asset.split (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(1), 'a', 'IoT', clock_timestamp())},
	'asset.own' => q{INSERT INTO asset.own VALUES (asset.tenant(1), 'a', clock_timestamp(), 'iot', false)});
for my $table (sort keys %table)
{
	my $seen = $table eq 'asset.own' ? 'seen' : 'last_seen';
	my $session = $node->background_psql('d', on_error_die => 1);

	# In time: nothing is written.
	$node->safe_psql('d', $table{$table});
	my $deltas = q{SELECT md5(string_agg(concat(ctid, xmin, d), ' ' ORDER BY ctid)) FROM eiot.live_delta d};
	my $before = $node->safe_psql('d', $deltas);
	$node->safe_psql('d', "UPDATE $table SET $seen = clock_timestamp()") for 1 .. 3;
	is($node->safe_psql('d', $deltas), $before, "$table: heartbeats write nothing");

	# Late: the device is silent for everybody else by then.
	$session->query("BEGIN; UPDATE $table SET $seen = clock_timestamp() + interval '1 minute'");
	sleep($silent_after + 0.5);
	$node->safe_psql('d', 'SELECT eiot.refresh()');
	is($node->safe_psql('d', $counted), '0', "$table: a device that somebody is about to see has fallen silent");
	$session->query('COMMIT');
	is($node->safe_psql('d', $counted), '1', 'and counts when that is known');
	$right->('a late heartbeat');
	$node->safe_psql('d', "UPDATE $table SET $seen = clock_timestamp()");
	is($node->safe_psql('d', $counted), '1', 'it is seen earlier than it was');
	sleep($silent_after + 0.2);
	is($node->safe_psql('d', $counted), '0', 'and falls silent again');
	$node->safe_psql('d', "DELETE FROM $table");
	$session->quit;
}
$right->('in the end');

# From here on nobody falls silent.
$node->safe_psql('d', q{UPDATE eiot.counting_rule SET inactive_after = '30 days'});

# Savepoints, and statements within a statement, some of them undone.
$node->safe_psql('d', q{
INSERT INTO asset.own SELECT asset.tenant(1 + i % 3), 'd' || i, now(), 'iot', i % 2 = 0 FROM generate_series(1, 12) i;
CREATE FUNCTION asset.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() > 1 THEN
    RETURN NULL;
  END IF;
  BEGIN
    UPDATE asset.own SET excluded = NOT excluded, owner = asset.tenant(2) WHERE device = 'd7';
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN NULL;
  END;
  UPDATE asset.own SET excluded = NOT excluded WHERE device = 'd' || (substr(NEW.device, 2)::int % 12 + 1);
  RETURN NULL;
END
$$});
for my $name ('a_before_ours', 'z_after_ours')
{
	$node->safe_psql('d', qq{
	CREATE TRIGGER $name AFTER UPDATE ON asset.own FOR EACH ROW EXECUTE FUNCTION asset.meddle();
	UPDATE asset.own SET excluded = NOT excluded WHERE device IN ('d1', 'd3', 'd5', 'd6');
	DROP TRIGGER $name ON asset.own});
	$right->("statements within a statement, $name");
}
my @changes = ("UPDATE asset.own SET excluded = NOT excluded WHERE owner = asset.tenant(%d)", "UPDATE asset.own SET owner = asset.tenant(%d) WHERE device < 'd4'",
	"UPDATE asset.own SET owner = NULL WHERE owner = asset.tenant(%d) AND device > 'd8'", "UPDATE asset.own SET owner = asset.tenant(%d) WHERE owner IS NULL",
	"UPDATE asset.own SET kind = CASE kind WHEN 'iot' THEN 'ot' ELSE 'iot' END::eiot.device_class, seen = now() - interval '40 days' * (%d - 1)");
srand(42);
for my $round (1 .. 20)
{
	my @statements = ('BEGIN');
	for my $i (1 .. 6)
	{
		push @statements, 'SAVEPOINT s' if rand() < 0.5;
		push @statements, sprintf($changes[ rand @changes ], 1 + rand 3);
		push @statements, 'ROLLBACK TO s' if rand() < 0.3 && grep { $_ eq 'SAVEPOINT s' } @statements;
		push @statements, 'SAVEPOINT f', 'DO $$ BEGIN UPDATE asset.own SET owner = asset.tenant(1), kind = (ARRAY[kind, NULL, \'nonsense\'])[CASE device WHEN \'d9\' THEN 3 ELSE 1 END]::text::eiot.device_class; EXCEPTION WHEN OTHERS THEN NULL; END $$'
		  if rand() < 0.2;
	}
	push @statements, rand() < 0.8 ? 'COMMIT' : 'ROLLBACK';
	$node->safe_psql('d', join('; ', @statements));
}
$right->('savepoints');

# One statement that inserts, updates and deletes.
$node->safe_psql('d', q{
WITH gone AS (DELETE FROM asset.own WHERE device = 'd1' RETURNING *), other AS (UPDATE asset.own SET excluded = NOT excluded WHERE device <> 'd1')
INSERT INTO asset.own SELECT owner, 'new', seen, 'iot', false FROM gone;
INSERT INTO asset.own SELECT asset.tenant(3), 'd' || i, now(), 'iot', false FROM generate_series(1, 15) i
ON CONFLICT (device) DO UPDATE SET owner = EXCLUDED.owner, kind = EXCLUDED.kind, excluded = NOT own.excluded;
MERGE INTO asset.own o USING generate_series(10, 20) i ON o.device = 'd' || i
 WHEN MATCHED AND i < 12 THEN DELETE WHEN MATCHED THEN UPDATE SET owner = asset.tenant(2), excluded = false
 WHEN NOT MATCHED THEN INSERT VALUES (asset.tenant(1), 'd' || i, now(), 'iot', false)});
$right->('upserts and MERGE');

# More rows than are collected at once.
$node->safe_psql('d', q{INSERT INTO asset.own SELECT asset.tenant(1 + i % 3), 'x' || i, now(), CASE WHEN i % 4 < 2 THEN 'iot' ELSE 'ot' END::eiot.device_class, false FROM generate_series(1, 300000) i});
$right->('300,000 rows that came in one statement');
$node->safe_psql('d', q{UPDATE asset.own SET excluded = hashtext(device) % 2 = 0, owner = asset.tenant(1 + abs(hashtext(device)) % 3) WHERE device LIKE 'x%'});
$right->('that were updated');
$node->safe_psql('d', q{DELETE FROM asset.own WHERE device LIKE 'x%' AND device <> 'x7'});
$right->('and that went');
is($node->safe_psql('d', 'SELECT count(*) > 0 FROM eiot.tenant_coverage WHERE counted > 0'), 't', 'something counts');

$node->stop;
done_testing();
