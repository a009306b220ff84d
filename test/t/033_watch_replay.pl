# Many sessions at once over watched inventories, killed and crashed: every crossing of a replay of the commits, in their
# order, is flagged once and in the transaction that completes it, and nothing else is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use WatchReplay;
use WatchSessions;

my $seconds = $ENV{EIOT_LONG} ? 60 : 4;
seed();

# A commit takes its time, so that much can happen between what it decides and its end.
my $node = new_cluster('replay', replay_settings(), 'max_prepared_transactions = 20', 'max_connections = 60', "deadlock_timeout = '200ms'",
	'fsync = on', 'commit_delay = 1000', 'commit_siblings = 1');
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', q{
	SET client_min_messages = warning;
	CREATE EXTENSION eiot CASCADE;
	ALTER TABLE eiot.tenant REPLICA IDENTITY FULL;
	ALTER TABLE eiot.entitlement REPLICA IDENTITY FULL;
	ALTER TABLE eiot.monitoring_off REPLICA IDENTITY FULL;
	ALTER TABLE eiot.alert REPLICA IDENTITY FULL});
if (!replay_from_here($node, 'd'))
{
	$node->stop;
	plan(skip_all => "the server lacks contrib's test_decoding");
}
my $run = { node => $node, db => 'd', tenants => 4, sessions => 8, statement => \&random_statement, more => 1 };
watch_two_inventories($node, 'd', $run->{tenants}, 10);
$node->safe_psql('d', "ALTER TABLE asset.$_ REPLICA IDENTITY FULL") for qw(device split_p0 split_p1 split_p2);

# What is notified, in the order of arrival.
my ($in, $heard) = ("LISTEN eiot_coverage;\n\\echo listening\n", '');
my $listener = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('d') =~ s/$/ application_name=listener/r ], '<', \$in, '>', \$heard);
$listener->pump until $heard =~ /listening/;

finish_sessions($run, run_sessions($run, $seconds, 1));

# Single rows at the limits: each client has a device of its own in each tenant, which counts, or does not, by chance.
$node->safe_psql('d', q{
	DELETE FROM asset.device; DELETE FROM asset.split; DELETE FROM eiot.monitoring_off; DELETE FROM eiot.alert;
	UPDATE eiot.tenant SET counting_rule = NULL;
	UPDATE eiot.entitlement SET state = 'enabled', units = CASE WHEN sku_id = 'b2f91841-252f-4765-94c3-75802d7c0ddb' THEN 4 ELSE 0 END});
my $script = "$PostgreSQL::Test::Utils::tmp_check/single.sql";
append_to_file($script, "\\set t random(1, $run->{tenants})\n\\set c random(1, 2)\n"
	  . "INSERT INTO asset.device (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(:t), 'c' || :client_id, (ARRAY['IoT', 'Network device'])[:c], now()) "
	  . "ON CONFLICT (tenant_id, device_id) DO UPDATE SET category = EXCLUDED.category;\n");
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', $ENV{EIOT_LONG} ? 5000 : 500, '-f', $script, $node->connstr('d') ], 'single rows');

$in .= "SELECT 1;\n\\echo heard all\n";
$listener->pump until $heard =~ /heard all/;
$listener->kill_kill;
my @notified = $heard =~ /^Asynchronous notification "eiot_coverage" with payload "\{"flag_event_id" : (\d+)/mg;
my $notified_until = $node->safe_psql('d', 'SELECT max(flag_event_id) FROM eiot.flag_event');

for my $round (1 .. ($ENV{EIOT_LONG} ? 5 : 2))
{
	my $state = run_sessions($run, 1 + rand 1, 0);
	$node->stop('immediate');
	eval { $_->{h}->kill_kill } for @{ $state->{sessions} };
	$node->start;
	decide_prepared($run);
}

# At the end, units in the grace period that cover devices for readers, and not for the flag.
$node->safe_psql('d', q{
	SELECT eiot.set_alert(asset.tenant(1), '0', '0', false);
	UPDATE eiot.entitlement SET state = 'warning' WHERE tenant_id = asset.tenant(1)});

my $replay = replay($node, 'd');
note("$replay->{transactions} transactions, $replay->{crossings} crossings");
cmp_ok($replay->{crossings}, '>', 100, 'tenants crossed their limits');
is_replayed($node, 'd', $replay);
is($node->safe_psql('d', "SELECT count(*) FROM (VALUES ('asset.device'::regclass), ('asset.split')) i(inventory), eiot.check_watch(i.inventory)"),
	'0', 'and those of a recount');
is("@notified", join(' ', grep { $_ <= $notified_until } @{ $replay->{events} }), 'each is notified once, in the order of the commits');

$node->stop;
done_testing();
