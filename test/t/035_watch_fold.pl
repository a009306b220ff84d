# A burst of transactions at once leaves a row of eiot.live_delta for each; they become one again, and nobody's count changes
# by it, whatever the snapshot that it is read from.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use WatchSessions;

my $sessions = 24;
my $node = new_cluster('fold', 'max_connections = 60', 'max_prepared_transactions = 5', 'autovacuum = off');
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
watch_two_inventories($node, 'd', 3, 1_000_000);
# Rules under which nothing falls silent, so that no tenant is due by itself.
$node->safe_psql('d', "UPDATE eiot.counting_rule SET inactive_after = NULL WHERE name = '2026-07'");

my $next = 0;
my $insert = sub {
	my ($tenant) = @_;
	$next++;
	return "INSERT INTO asset.device (tenant_id, device_id, category, last_seen) VALUES (asset.tenant($tenant), 'n$next', 'IoT', now())";
};
my $rows = sub { return $node->safe_psql('d', "SELECT count(*) FROM eiot.live_delta WHERE tenant_id = asset.tenant($_[0])") };
my $counted = sub { return $node->safe_psql('d', "SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant($_[0])") };
my $right = sub {
	my ($what) = @_;
	return is($node->safe_psql('d', "SELECT * FROM eiot.check_watch('asset.device')"), '', "$what: counts are those of a recount");
};

# All sessions have a transaction open at once.
my $burst = sub {
	my ($tenant) = @_;
	my @sessions = map { $node->background_psql('d', on_error_die => 1) } 1 .. $sessions;
	$_->query_safe('BEGIN; ' . $insert->($tenant)) for @sessions;
	$_->query_safe('COMMIT') for @sessions;
	my $kept = $rows->($tenant);
	# as long as they are there, they may need them
	$node->safe_psql('d', $insert->($tenant));
	my $still = $rows->($tenant);
	$_->quit for @sessions;
	$node->poll_query_until('d', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'})
	  or die 'sessions stay';
	return ($kept, $still);
};

# ---- by the next commit, when the sessions are gone

is(join(' ', $burst->(1)), "$sessions $sessions", 'a row for each transaction at once, which the sessions keep');
my $before = $counted->(1);

# Somebody holds a row, and somebody else reads an older snapshot, when they are folded.
my $holder = $node->background_psql('d', on_error_die => 1);
$holder->query_safe('BEGIN; ' . $insert->(1));
my $reader = $node->background_psql('d', on_error_die => 1);
my $read = 'SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant(1)';
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($reader->query_safe($read), $before, 'counted before');

$node->safe_psql('d', $insert->(1));
is($rows->(1), 2, 'folded by a commit: one row, and the one that is held');
is($counted->(1), $before + 1, 'counted after');
is($reader->query_safe($read), $before, 'an older snapshot has what it had');
$reader->query_safe($insert->(1));
is($reader->query_safe($read), $before + 1, 'and what its transaction adds');
$holder->query_safe('COMMIT');
is($reader->query_safe($read), $before + 1, 'nothing of what others commit');
$reader->query_safe('COMMIT');
is($counted->(1), $before + 3, 'all of it in the end');
$right->('folded by a commit');
$_->quit for $holder, $reader;

# ---- by who brings the tenant up to date

for my $by ([ 'refresh', "SELECT eiot.refresh(now() + interval '1 hour')" ],
	[ 'a change of licenses', 'UPDATE eiot.entitlement SET units = units + 1 WHERE tenant_id = asset.tenant(2)' ],
	[ 'a commit at REPEATABLE READ', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; " . $insert->(2) . '; COMMIT' ])
{
	my ($what, $statement) = @$by;
	$burst->(2);
	my $counted_before = $counted->(2);
	$node->safe_psql('d', $statement);
	cmp_ok($rows->(2), '<=', 2, "$what folds");
	is($counted->(2) - $counted_before, $what =~ /commit/ ? 1 : 0, "$what: nothing is lost");
	$right->($what);
}

# ---- and not by who may not

$burst->(3);
$node->safe_psql('d', 'BEGIN ISOLATION LEVEL SERIALIZABLE; ' . $insert->(3) . '; COMMIT');
is($rows->(3), $sessions, 'a serializable transaction leaves them');
$node->safe_psql('d', 'BEGIN; ' . $insert->(3) . q{; PREPARE TRANSACTION 'p'});
$node->safe_psql('d', q{COMMIT PREPARED 'p'});
is($rows->(3), $sessions, 'a prepared one does');
$node->safe_psql('d', 'BEGIN; ' . $insert->(3) . '; ROLLBACK');
is($rows->(3), $sessions, 'and one that is rolled back');
$right->('as they were');

$node->stop;
done_testing();
