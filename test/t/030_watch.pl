# Many sessions at once over watched inventories: whatever they do, and however they end, the counts are those of a
# recount, and every crossing is flagged once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{EIOT_LONG} ? 60 : 8;
my ($sessions, $tenants) = (8, 6);
my $seed = $ENV{EIOT_SEED} // time() ^ $$;
srand($seed);
note("EIOT_SEED=$seed");

my $node = new_cluster('watch', 'max_prepared_transactions = 20', 'max_connections = 60', "deadlock_timeout = '200ms'");
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', qq{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
INSERT INTO eiot.tenant (tenant_id, name)
SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'Tenant ' || i FROM generate_series(1, $tenants) i;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units)
SELECT tenant_id, 'b2f91841-252f-4765-94c3-75802d7c0ddb', 10 FROM eiot.tenant;
SELECT eiot.create_inventory('asset.device');
SELECT eiot.create_inventory('asset.split', 3);
CREATE FUNCTION asset.tenant(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
  RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
SELECT eiot.watch('asset.device');
SELECT eiot.watch('asset.split');
});

# One statement by chance.
sub statement
{
	my $tenant = 1 + int rand $tenants;
	my $other = 1 + int rand $tenants;
	my $table = rand() < 0.6 ? 'asset.device' : 'asset.split';
	my $device = int rand 12;
	my $class = rand() < 0.8 ? "'IoT'" : "'Network device'";
	# most are active, some silent, some fall silent while the test runs
	my $chance = rand;
	my $seen = $chance < 0.6 ? 'now()' : $chance < 0.8 ? "now() - interval '40 days'"
	  : $chance < 0.9 ? 'NULL' : sprintf("now() - interval '30 days' + interval '%.2f s'", rand 4);
	my @kinds = (
		"INSERT INTO $table (tenant_id, device_id, category, last_seen) VALUES (asset.tenant($tenant), 'd$device', $class, $seen) "
		  . "ON CONFLICT (tenant_id, device_id) DO UPDATE SET last_seen = EXCLUDED.last_seen, category = EXCLUDED.category",
		"INSERT INTO $table (tenant_id, device_id, category, last_seen) SELECT asset.tenant($tenant), 'd' || i, $class, $seen "
		  . "FROM generate_series($device, $device + 2) i ON CONFLICT DO NOTHING",
		"UPDATE $table SET last_seen = $seen WHERE tenant_id = asset.tenant($tenant) AND device_id = 'd$device'",
		"UPDATE $table SET last_seen = now() WHERE last_seen >= now() - interval '20 days' AND device_id = 'd$device'",
		"UPDATE $table SET excluded = NOT excluded WHERE tenant_id = asset.tenant($tenant) AND device_id IN ('d$device', 'd1')",
		"UPDATE $table d SET tenant_id = asset.tenant($other) WHERE tenant_id = asset.tenant($tenant) AND device_id = 'd$device' "
		  . "AND NOT EXISTS (SELECT FROM $table e WHERE e.tenant_id = asset.tenant($other) AND e.device_id = 'd$device')",
		"DELETE FROM $table WHERE tenant_id = asset.tenant($tenant) AND device_id = 'd$device'",
		"DELETE FROM $table WHERE device_id = 'd$device'",
		"MERGE INTO $table t USING (SELECT asset.tenant($tenant) AS tenant_id, 'd' || i AS device_id FROM generate_series(0, 3) i) s "
		  . "ON t.tenant_id = s.tenant_id AND t.device_id = s.device_id WHEN MATCHED AND t.device_id = 'd1' THEN DELETE "
		  . "WHEN MATCHED THEN UPDATE SET last_seen = $seen WHEN NOT MATCHED THEN INSERT (tenant_id, device_id, category, last_seen) "
		  . "VALUES (s.tenant_id, s.device_id, $class, now())",
		"UPDATE eiot.entitlement SET units = " . (6 + int rand 10) . " WHERE tenant_id = asset.tenant($tenant)",
		'SELECT eiot.refresh()',
		'SELECT count(*) FROM eiot.tenant_coverage');
	my @weights = (20, 8, 12, 10, 8, 8, 10, 2, 5, 4, 4, 3);
	my $sum = 0;
	$sum += $_ for @weights;
	my $at = rand $sum;
	for my $i (0 .. $#kinds)
	{
		$at -= $weights[$i];
		return $kinds[$i] if $at < 0;
	}
	return $kinds[0];
}

my $gid = 0;

# One transaction by chance, as a script for psql.
sub transaction
{
	my $level = ('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')[int rand 4];
	my $n = rand() < 0.5 ? 1 : 1 + int rand 4;
	return statement() . ";\n" if $n == 1 && rand() < 0.5;
	my $sql = "BEGIN ISOLATION LEVEL $level;\n";
	for (1 .. $n)
	{
		my $chance = rand;
		if ($chance < 0.25)
		{
			$sql .= "SAVEPOINT s;\n" . statement() . ";\n";
			$sql .= (rand() < 0.6 ? 'ROLLBACK TO s' : 'RELEASE s') . ";\n";
		}
		else
		{
			$sql .= statement() . ";\n";
		}
		$sql .= 'SELECT pg_sleep(' . rand(0.01) . ");\n" if rand() < 0.2;
	}
	if (rand() < 0.03)
	{
		$gid++;
		return $sql . "PREPARE TRANSACTION 'g$gid-$$';\n" . (rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED 'g$gid-$$';\n";
	}
	return $sql . (rand() < 0.15 ? 'ROLLBACK' : 'COMMIT') . ";\n";
}

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

# Runs sessions for so many seconds; some of them are killed, and started again.
sub run_sessions
{
	my ($for, $kill) = @_;
	my @run;
	my $end = time() + $for;
	my %errors;
	my $start = sub {
		my ($slot) = @_;
		my $session = { in => '', out => '', err => '' };
		# session characteristics belong to the transaction by chance
		$session->{h} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('d') ],
			'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
		$session->{n} = 0;
		$run[$slot] = $session;
	};
	$start->($_) for 0 .. $sessions - 1;
	my ($n, $killed) = (0, 0);
	while (time() < $end)
	{
		for my $slot (0 .. $sessions - 1)
		{
			my $s = $run[$slot];
			eval { $s->{h}->pump_nb; 1 } or do { $start->($slot); next; };
			$errors{$1}++ while $s->{err} =~ s/^(?:ERROR|FATAL):  (\w{5}:.*)\n//m;
			if (!$s->{h}->pumpable) { eval { $s->{h}->finish }; $start->($slot); next; }
			# keep a few transactions in its pipe
			my $done = () = $s->{out} =~ /^done$/mg;
			if ($s->{n} - $done < 5)
			{
				$s->{in} .= join('', map { transaction() . "\\echo done\n" } 1 .. 10);
				$s->{n} += 10;
				$n += 10;
			}
			if (length $s->{out} > 20_000) { $s->{out} = ''; $s->{n} = $s->{n} - $done; }
		}
		if ($kill && rand() < 0.02)
		{
			$node->psql('d', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = 'psql' ORDER BY random() LIMIT 1});
			$killed++;
		}
		sleep 0.01;
	}
	return { run => \@run, n => $n, killed => $killed, errors => \%errors };
}

sub finish_sessions
{
	my ($state) = @_;
	for my $s (@{ $state->{run} })
	{
		$s->{in} = '';
		eval { $s->{h}->kill_kill };
	}
	# what they had begun is rolled back; what was prepared is decided
	for (1 .. 100)
	{
		last if $node->safe_psql('d', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()}) eq '0';
		$node->safe_psql('d', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
		sleep 0.1;
	}
	$node->safe_psql('d', "COMMIT PREPARED '$_'") for split /\n/, $node->safe_psql('d', 'SELECT gid FROM pg_prepared_xacts');
	note("$state->{n} transactions, $state->{killed} sessions killed");
	note(sprintf '%6d %s', $state->{errors}{$_}, $_) for sort { $state->{errors}{$b} <=> $state->{errors}{$a} } keys %{ $state->{errors} };
	my @unexpected = grep { !/^(40001|40P01|23505|57P01|25P02|0A000|3B001|42704)/ } keys %{ $state->{errors} };
	is("@unexpected", '', 'no errors but those of competing transactions');
	return;
}

my $state = run_sessions($seconds, 1);
finish_sessions($state);
cmp_ok($node->safe_psql('d', 'SELECT count(*) FROM eiot.flag_event'), '>', 20, 'flags were raised and cleared');
check('after a random run');

for my $round (1 .. ($ENV{EIOT_LONG} ? 5 : 2))
{
	$state = run_sessions(1 + rand 1, 0);
	$node->stop('immediate');
	eval { $_->{h}->kill_kill } for @{ $state->{run} };
	$node->start;
	$node->safe_psql('d', "COMMIT PREPARED '$_'") for split /\n/, $node->safe_psql('d', 'SELECT gid FROM pg_prepared_xacts');
	check("after crash $round");
}

# The sessions above lock rows in any order, and so wait in circles; tenants' locks are never part of one.
my @deadlocks = slurp_file($node->logfile) =~ /ERROR:  deadlock detected\n((?:.*DETAIL:.*\n)(?:\t.*\n)*)/g;
note(@deadlocks . ' deadlocks');
is(join("\n", grep { /waits for \w+ on advisory lock/ } @deadlocks), '', 'tenants are locked at the end, and in one order');

$node->stop;
done_testing();
