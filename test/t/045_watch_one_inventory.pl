# Where one inventory is watched, a session keeps the limits and the count of tenants that it has committed devices of, and does
# not read them again until somebody has written any; whoever that was, and however, is in its next decision all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use WatchReplay;
use WatchSessions;

seed();

my $node = new_cluster('one', replay_settings(), 'max_prepared_transactions = 20', 'max_connections = 60', "deadlock_timeout = '200ms'", 'autovacuum = off');
for my $db ('d', 'random')
{
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
}
watch_one_inventory($node, 'd', 3, 1000);

# Whoever waits for a table fails soon.
my $session = $node->background_psql('d', on_error_die => 1);
$session->query_safe(q{SET lock_timeout = '2s'});
my $next = 0;
my $insert = sub {
	my ($tenant) = @_;
	$next++;
	return "INSERT INTO asset.device (tenant_id, device_id, category, last_seen) VALUES (asset.tenant($tenant), 'n$next', 'IoT', now())";
};
my $know = sub { $session->query_safe($insert->(1)) for 1 .. 2; return };
my $units = sub { return "UPDATE eiot.entitlement SET units = $_[0] WHERE tenant_id = asset.tenant(1)" };
my $counted = sub { return $node->safe_psql('d', 'SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant(1)') };
my $full = sub { return $units->($counted->()) };
my $flags = sub { return $node->safe_psql('d', q{SELECT string_agg(kind, ' ' ORDER BY flag_event_id) FROM eiot.flag_event}) };
my $begin_anew = sub { $node->safe_psql('d', $units->(1000)); $node->safe_psql('d', 'DELETE FROM eiot.flag_event'); return };

# What others do leaves one place or none, and the next device raises the flag.
my $raises = sub {
	my ($what, $then) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$know->();
	$then->();
	is($flags->(), '', "$what: not yet");
	$session->query_safe($insert->(1));
	is($flags->(), 'raised', "$what: flagged");
	is($node->safe_psql('d', q{SELECT * FROM eiot.check_watch('asset.device')}), '', "$what: the counts are those of a recount");
	$begin_anew->();
	return;
};

# The tables that are not read are locked against everybody.
my $locker = $node->background_psql('d', on_error_die => 1);
$know->();
$locker->query_safe('BEGIN; LOCK TABLE eiot.live_tenant, eiot.live_count');
$session->query_safe($insert->(1)) for 1 .. 3;
$session->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; ' . $insert->(1) . '; COMMIT');
pass('what is kept is not read');
$locker->query_safe('COMMIT');
is($flags->(), '', 'no flag');

$raises->('another capacity', sub { $node->safe_psql('d', $full->()) });
$raises->('a capacity that was written in replica mode', sub { $node->safe_psql('d', 'SET session_replication_role = replica; ' . $full->()) });
$raises->('a prepared transaction', sub {
	$node->safe_psql('d', 'BEGIN; ' . $full->() . "; PREPARE TRANSACTION 'p'");
	$node->safe_psql('d', "COMMIT PREPARED 'p'");
});
$raises->('an alert', sub {
	my $gap = $counted->() - 1000;
	$node->safe_psql('d', "SELECT eiot.set_alert(asset.tenant(1), '$gap', '$gap')");
});
$node->safe_psql('d', 'SELECT eiot.set_alert(asset.tenant(1), NULL::text, NULL)');
$node->safe_psql('d', 'DELETE FROM eiot.flag_event');
$raises->('a capacity that ends', sub {
	$node->safe_psql('d', "UPDATE eiot.entitlement SET valid = tstzrange('-infinity', now() + '1 s') WHERE tenant_id = asset.tenant(1);
		INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (asset.tenant(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', ${\$counted->()}, tstzrange(now() + '1 s', NULL))");
	$session->query_safe($insert->(2));
	$node->safe_psql('d', 'SELECT pg_sleep(1.1)');
});
$node->safe_psql('d', q{DELETE FROM eiot.entitlement WHERE tenant_id = asset.tenant(1) AND upper_inf(valid) AND NOT lower_inf(valid);
	UPDATE eiot.entitlement SET valid = '(,)' WHERE tenant_id = asset.tenant(1)});
$begin_anew->();

# Devices that no longer count after a recount under another rule, and count again.
$node->safe_psql('d', q{INSERT INTO asset.device (tenant_id, device_id, category, last_seen) SELECT asset.tenant(1), 'net' || i, 'Network device', now() FROM generate_series(1, 50) i});
$raises->('another rule', sub {
	$node->safe_psql('d', $units->($counted->() + 50));
	$node->safe_psql('d', q{UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE tenant_id = asset.tenant(1)});
});
$node->safe_psql('d', q{UPDATE eiot.tenant SET counting_rule = NULL WHERE tenant_id = asset.tenant(1); DELETE FROM asset.device WHERE category = 'Network device'});
$begin_anew->();
$raises->('a recount of rows that no trigger saw', sub {
	$node->safe_psql('d', q{ALTER TABLE asset.device DISABLE TRIGGER USER;
		INSERT INTO asset.device (tenant_id, device_id, category, last_seen) SELECT asset.tenant(1), 'unseen' || i, 'IoT', now() FROM generate_series(1, 20) i;
		ALTER TABLE asset.device ENABLE ALWAYS TRIGGER eiot_watch_row, ENABLE ALWAYS TRIGGER eiot_watch_updated_row, ENABLE ALWAYS TRIGGER eiot_watch_insert,
		 ENABLE ALWAYS TRIGGER eiot_watch_update, ENABLE ALWAYS TRIGGER eiot_watch_delete, ENABLE ALWAYS TRIGGER eiot_watch_truncate;
		SELECT eiot.recount('asset.device')});
	$node->safe_psql('d', $full->());
});

# What the session itself did, and undid.
$know->();
$session->query_safe('BEGIN; SAVEPOINT s; ' . $units->(0) . '; ROLLBACK TO s; ' . $insert->(1) . '; COMMIT');
is($flags->(), '', 'a change that was undone is none');
$session->query_safe('BEGIN; ' . $full->() . '; ROLLBACK');
$session->query_safe($insert->(1));
is($flags->(), '', 'nor is one of a transaction that was');
$session->query_safe($full->());
$session->query_safe($insert->(1));
is($flags->(), 'raised', 'its own change is one');
$session->query_safe($units->(1000));
$know->();
is($flags->(), 'raised cleared', 'and so is the next');
$node->safe_psql('d', 'DELETE FROM eiot.flag_event');

# A commit that has to read what is locked waits for that before it locks the tenant: else the other one, who needs the tenant
# next, would wait for it in turn.
$node->safe_psql('d', $units->($counted->() + 3));
$know->();
$session->query_safe('RESET lock_timeout');
$locker->query_safe('BEGIN; LOCK TABLE eiot.live_tenant');
$session->query_until(qr/begun/, "\\echo begun\n" . $insert->(1) . ";\n" . $insert->(1) . ";\n");
ok($node->poll_query_until('d', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'eiot.live_tenant'::regclass}), 'a commit that crosses the limit waits for the table');
$locker->query_safe($insert->(1) . '; COMMIT');
$session->query_safe('SELECT 1');
is($flags->(), 'raised', 'one flag, and nobody waits for ever');
is($node->safe_psql('d', q{SELECT * FROM eiot.check_watch('asset.device')}), '', 'the counts are those of a recount');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'no deadlock');
$begin_anew->();

# A commit that waits for the tenant hears, when it gets it, what the one before it did.
$know->();
$node->safe_psql('d', 'BEGIN; ' . $full->() . "; PREPARE TRANSACTION 'p'");
$session->query_until(qr/begun/, "\\echo begun\n" . $insert->(1) . ";\n");
ok($node->poll_query_until('d', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'}), 'a commit waits for the tenant');
$node->safe_psql('d', "COMMIT PREPARED 'p'");
$session->query_safe('SELECT 1');
is($flags->(), 'raised', 'and knows what it waited for');
$begin_anew->();

# Another inventory, that has devices of the tenant, and none any more.
$know->();
$node->safe_psql('d', q{SET client_min_messages = warning; SELECT eiot.create_inventory('asset.other');
	INSERT INTO asset.other (tenant_id, device_id, category, last_seen) SELECT asset.tenant(1), 'o' || i, 'IoT', now() FROM generate_series(1, 200) i;
	SELECT eiot.watch('asset.other')});
$node->safe_psql('d', $full->());
$session->query_safe($insert->(1));
is($flags->(), 'raised', 'devices of a second inventory count');
$begin_anew->();
$know->();
$node->safe_psql('d', q{SELECT eiot.unwatch('asset.other')});
$node->safe_psql('d', $full->());
$session->query_safe($insert->(1));
is($flags->(), 'raised', 'and no longer, when it is not watched');
is($node->safe_psql('d', q{SELECT * FROM eiot.check_watch('asset.device')}), '', 'the counts are those of a recount');

# The extension that comes back is another one.
$session->query_safe('SET client_min_messages = error; DROP EXTENSION eiot CASCADE; DROP SCHEMA asset CASCADE; CREATE EXTENSION eiot');
watch_one_inventory($node, 'd', 3, 1);
$session->query_safe($insert->(1)) for 1 .. 2;
is($flags->(), 'raised', 'after CREATE EXTENSION in the same session');
$_->quit for $session, $locker;

# Many sessions at once, replayed.
SKIP:
{
	$node->safe_psql('random', "ALTER TABLE eiot.$_ REPLICA IDENTITY FULL") for qw(tenant entitlement monitoring_off alert);
	skip("the server lacks contrib's test_decoding", 1) unless replay_from_here($node, 'random');
	my $run = { node => $node, db => 'random', tenants => 4, sessions => 8, statement => \&random_statement, more => 1, one => 1 };
	watch_one_inventory($node, 'random', $run->{tenants}, 10);
	$node->safe_psql('random', 'ALTER TABLE asset.device REPLICA IDENTITY FULL');
	finish_sessions($run, run_sessions($run, $ENV{EIOT_LONG} ? 60 : 4, 1));
	my $replay = replay($node, 'random');
	note("$replay->{transactions} transactions, $replay->{crossings} crossings");
	cmp_ok($replay->{crossings}, '>', 30, 'tenants crossed their limits');
	is_replayed($node, 'random', $replay);
	is($node->safe_psql('random', q{SELECT * FROM eiot.check_watch('asset.device')}), '', 'the counts are those of a recount');
}

$node->stop;
done_testing();
