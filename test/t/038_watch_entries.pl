# A session that has committed a tenant's devices before knows where the tenant's counts lie, and does not search for them
# again; what others have added or folded since, and wherever that lies now, is in its next decision all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use WatchSessions;

my $node = new_cluster('entries', 'max_connections = 60', 'autovacuum = off');
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
watch_two_inventories($node, 'd', 1, 1_000_000);
# Neighbours of tenant 500, in many leaves of the index.
$node->safe_psql('d', q{
INSERT INTO eiot.tenant (tenant_id, name) SELECT asset.tenant(i), 'Tenant ' || i FROM generate_series(2, 2000) i;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (asset.tenant(500), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1000000);
INSERT INTO asset.device (tenant_id, device_id, category, last_seen) SELECT asset.tenant(i), 'first', 'IoT', now() FROM generate_series(2, 2000, 2) i});

my $next = 0;
my $insert = sub {
	my ($tenant, $table) = @_;
	$table //= 'asset.device';
	$next++;
	return "INSERT INTO $table (tenant_id, device_id, category, last_seen) VALUES (asset.tenant($tenant), 'n$next', 'IoT', now())";
};
my $session = $node->background_psql('d', on_error_die => 1);
my $searches = sub {
	return $session->query_safe(q{SELECT pg_stat_force_next_flush()})
	  && $node->safe_psql('d', q{SELECT idx_scan FROM pg_stat_all_indexes WHERE indexrelid = 'eiot.live_delta_pkey'::regclass});
};
my $counted = sub { return $node->safe_psql('d', 'SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant(500)') };
my $flags = sub {
	return $node->safe_psql('d', 'SELECT kind, devices FROM eiot.flag_event WHERE tenant_id = asset.tenant(500) ORDER BY flag_event_id');
};
my $expected = '';

# Two devices more than there are raise the flag if the session knows of all others, and one does not.
my $is_exact = sub {
	my ($what, $then) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $devices = $counted->();
	$node->safe_psql('d', "UPDATE eiot.entitlement SET units = $devices + 1 WHERE tenant_id = asset.tenant(500)");
	$node->safe_psql('d', $then) if defined $then;
	$session->query_safe($insert->(500));
	is($flags->(), $expected, "$what: not yet");
	$session->query_safe($insert->(500));
	$expected .= ($expected eq '' ? '' : "\n") . 'raised|' . ($devices + 2);
	is($flags->(), $expected, "$what: now");
	$node->safe_psql('d', "UPDATE eiot.entitlement SET units = 1000000 WHERE tenant_id = asset.tenant(500)");
	$expected .= "\ncleared|" . ($devices + 2);
	is($flags->(), $expected, "$what: and no more");
	is($node->safe_psql('d', q{SELECT i, c.* FROM unnest('{asset.device,asset.split}'::regclass[]) i, eiot.check_watch(i) c}), '',
		"$what: counts are those of a recount");
	return;
};
my $know = sub { $session->query_safe($insert->(500)) for 1 .. 5; return };

# So many transactions at once that each makes a row of its own.
my $others = sub {
	my ($n, $table) = @_;
	my @others = map { $node->background_psql('d', on_error_die => 1) } 1 .. $n;
	$_->query_safe('BEGIN; ' . $insert->(500, $table)) for @others;
	$_->query_safe('COMMIT') for @others;
	$_->quit for @others;
	return;
};

# Another row comes while the session's transaction is open.
my $beside = sub {
	my ($begin, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$know->();
	$session->query_safe($begin);
	$session->query_safe($insert->(500));
	$others->(1);
	$session->query_safe('COMMIT');
	$is_exact->($what);
	return;
};

$know->();
my $before = $searches->();
$session->query_safe($insert->(500)) for 1 .. 20;
is($searches->() - $before, 0, 'what is known is not searched for');
$is_exact->('alone');

$beside->('BEGIN', 'another row');

$know->();
$others->(3, 'asset.split');
$is_exact->('rows of another inventory');

$know->();
$others->(5);
$is_exact->('as many rows as are remembered, and more');
$know->();
$others->(12);
$is_exact->('many rows');

# Rows elsewhere, in the index or in the table.
for my $how (
	'VACUUM eiot.live_delta',
	'REINDEX TABLE eiot.live_delta',
	'REINDEX TABLE CONCURRENTLY eiot.live_delta',
	'VACUUM FULL eiot.live_delta',
	'CLUSTER eiot.live_delta USING live_delta_pkey',
	"SELECT eiot.recount('asset.device')",
	# the leaf is split
	"INSERT INTO asset.device (tenant_id, device_id, category, last_seen) SELECT asset.tenant(i), 'second', 'IoT', now() FROM generate_series(3, 2000, 2) i",
	# and emptied
	"DELETE FROM eiot.live_delta WHERE tenant_id <> asset.tenant(500); SELECT eiot.recount('asset.device')",
	'VACUUM eiot.live_delta')
{
	$know->();
	$node->safe_psql('d', $how);
	$others->(2);
	$is_exact->($how =~ s/ SELECT asset.*//r);
}

# Rows that go while the session holds one.
$others->(20);
$know->();
$session->query_safe('BEGIN');
$session->query_safe($insert->(500));
$node->safe_psql('d', $insert->(500)) for 1 .. 2;
$node->safe_psql('d', 'VACUUM eiot.live_delta');
$node->safe_psql('d', $insert->(500)) for 1 .. 2;
$session->query_safe('COMMIT');
$is_exact->('folded');

# A tenant whose rows were once so many that their entries fill leaves of the index; the few that are left lie in two of them.
$node->safe_psql('d', q{INSERT INTO eiot.live_delta (tenant_id, watch_id, slot, devices, counted, oldest)
	SELECT c.tenant_id, c.watch_id, i, 0, 0, 'infinity' FROM eiot.live_count c, eiot.watched_inventory w, generate_series(-1000, -1) i
	 WHERE c.tenant_id = asset.tenant(500) AND w.watch_id = c.watch_id AND w.inventory = 'asset.device'::regclass});
$know->();
$node->safe_psql('d', 'VACUUM eiot.live_delta');
$others->(2);
$know->();
my @slots = split /\n/, $node->safe_psql('d', 'SELECT slot FROM eiot.live_delta WHERE tenant_id = asset.tenant(500) ORDER BY 1');
cmp_ok(scalar @slots, '<=', 8, 'few are left');
ok($slots[0] == -1000 && $slots[-1] > 0, 'one at each end');
# What was three devices in one row is in two.
$is_exact->('in two leaves', q{
	INSERT INTO eiot.live_delta (tenant_id, watch_id, slot, devices, counted, oldest)
	SELECT tenant_id, watch_id, -999, 3, 3, oldest FROM eiot.live_delta WHERE tenant_id = asset.tenant(500) AND slot = -1000;
	UPDATE eiot.live_delta SET devices = devices - 3, counted = counted - 3 WHERE tenant_id = asset.tenant(500) AND slot = -1000});

# Nothing is remembered where nothing would tell that it changed.
$beside->('BEGIN ISOLATION LEVEL SERIALIZABLE', 'serializable');

$session->quit;
$node->stop;
done_testing();
