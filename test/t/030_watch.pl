# Many sessions at once over watched inventories: whatever they do, and however they end, the counts are those of a
# recount, and every crossing is flagged once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use WatchSessions;

my $seconds = $ENV{EIOT_LONG} ? 60 : 5;
seed();

my $node = new_cluster('watch', 'max_prepared_transactions = 20', 'max_connections = 60', "deadlock_timeout = '200ms'");
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
my $run = { node => $node, db => 'd', tenants => 6, sessions => 8, statement => \&random_statement, falls_silent => 1 };
watch_two_inventories($node, 'd', $run->{tenants}, 10);

my $crossings = q{
	SELECT count(*) FROM (SELECT kind, lag(kind, 1, 'cleared') OVER (PARTITION BY tenant_id ORDER BY flag_event_id) AS before
	                        FROM eiot.flag_event) e
	 WHERE kind = before};

# What must hold whenever nobody writes.
sub check
{
	my ($when) = @_;
	is($node->safe_psql('d', "SELECT * FROM eiot.check_watch('$_')"), '', "$when: counts of $_ are those of a recount")
	  for qw(asset.device asset.split);
	is($node->safe_psql('d', $crossings), '0', "$when: flags are raised and cleared in turn");
	is( $node->safe_psql('d', q{
			WITH counted AS (
			  SELECT c.tenant_id, sum(c.counted) AS counted, max(c.capacity) AS capacity, sum(c.devices) AS devices
			    FROM (TABLE asset.device_coverage UNION ALL TABLE asset.split_coverage) c GROUP BY 1)
			SELECT n.*, c.counted, c.capacity FROM eiot.tenant_coverage c JOIN counted n USING (tenant_id)
			 WHERE (c.counted, c.capacity, c.devices, c.gap) IS DISTINCT FROM (n.counted, n.capacity, n.devices, GREATEST(n.counted - n.capacity, 0))
			    OR c.under_licensed <> (n.counted > n.capacity)}),
		'', "$when: tenant_coverage is the sum of the inventories' views");
	# Devices fall silent all the time, so there is a moment between refresh and view at which another may have.
	ok( $node->poll_query_until('d', q{
			SELECT eiot.refresh() \g /dev/null
			SELECT count(*) FROM eiot.tenant_coverage c LEFT JOIN eiot.live_tenant l USING (tenant_id)
			 WHERE (c.gap > 0) IS DISTINCT FROM l.flagged OR c.since IS DISTINCT FROM l.since}, '0'),
		"$when: who has a gap is flagged, and nobody else");
	is($node->safe_psql('d', $crossings), '0', "$when: still in turn");
	return;
}

my $state = run_sessions($run, $seconds, 1);
finish_sessions($run, $state);
cmp_ok($node->safe_psql('d', 'SELECT count(*) FROM eiot.flag_event'), '>', 20, 'flags were raised and cleared');
check('after a random run');

for my $round (1 .. ($ENV{EIOT_LONG} ? 5 : 2))
{
	$state = run_sessions($run, 1 + rand 1, 0);
	$node->stop('immediate');
	eval { $_->{h}->kill_kill } for @{ $state->{sessions} };
	$node->start;
	decide_prepared($run);
	check("after crash $round");
}

# The sessions above lock rows in any order, and so wait in circles; tenants' locks are never part of one.
my @deadlocks = slurp_file($node->logfile) =~ /ERROR:  deadlock detected\n((?:.*DETAIL:.*\n)(?:\t.*\n)*)/g;
note(@deadlocks . ' deadlocks');
is(join("\n", grep { /waits for \w+ on advisory lock/ } @deadlocks), '', 'tenants are locked at the end, and in one order');

$node->stop;
done_testing();
