# Sessions that write to watched inventories at once, by chance: what the tests of live coverage share.
#
# A run is described by a hash: node, db, tenants and sessions (how many), statement (a sub that returns one by chance),
# falls_silent (do devices fall silent while it lasts?), more (are tables truncated, and alerts, rules and states changed?),
# one (is asset.device the only inventory?).
package WatchSessions;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(seed watch_one_inventory watch_two_inventories choose random_statement run_sessions finish_sessions decide_prepared);

sub seed
{
	my $seed = $ENV{EIOT_SEED} // time() ^ $$;
	srand($seed);
	note("EIOT_SEED=$seed");
	return;
}

# Tenants 1 to n with so many licenses each, and a watched inventory.
sub watch_one_inventory
{
	my ($node, $db, $tenants, $units) = @_;
	$node->safe_psql($db, qq{
		SET client_min_messages = warning;
		CREATE SCHEMA asset;
		CREATE FUNCTION asset.tenant(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
		  RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
		INSERT INTO eiot.tenant (tenant_id, name) SELECT asset.tenant(i), 'Tenant ' || i FROM generate_series(1, $tenants) i;
		INSERT INTO eiot.entitlement (tenant_id, sku_id, units)
		SELECT tenant_id, 'b2f91841-252f-4765-94c3-75802d7c0ddb', $units FROM eiot.tenant;
		SELECT eiot.create_inventory('asset.device');
		SELECT eiot.watch('asset.device')});
	return;
}

# And another one, that is partitioned.
sub watch_two_inventories
{
	my ($node, $db, $tenants, $units) = @_;
	watch_one_inventory($node, $db, $tenants, $units);
	$node->safe_psql($db, q{
		SET client_min_messages = warning;
		SELECT eiot.create_inventory('asset.split', 3);
		SELECT eiot.watch('asset.split')});
	return;
}

# One of [ weight, text ], by weight.
sub choose
{
	my (@choices) = @_;
	my $sum = 0;
	$sum += $_->[0] for @choices;
	my $at = rand $sum;
	for my $choice (@choices)
	{
		$at -= $choice->[0];
		return $choice->[1] if $at < 0;
	}
	return $choices[0][1];
}

# One statement by chance, on the inventories or on what decides the flags.
sub random_statement
{
	my ($run) = @_;
	my $tenant = 'asset.tenant(' . (1 + int rand $run->{tenants}) . ')';
	my $other = 'asset.tenant(' . (1 + int rand $run->{tenants}) . ')';
	my $table = $run->{one} || rand() < 0.6 ? 'asset.device' : 'asset.split';
	my $device = int rand 12;
	my $class = rand() < 0.8 ? "'IoT'" : "'Network device'";
	# most are active, some silent, and some fall silent while the test runs
	my $seen = choose([ 6, 'now()' ], [ 2, "now() - interval '40 days'" ], [ 1, 'NULL' ],
		$run->{falls_silent} ? ([ 1, sprintf("now() - interval '30 days' + interval '%.2f s'", rand 4) ]) : ());
	my $flag = choose([ 3, 'excluded' ], [ 1, 'transient' ]);
	my $percent = rand() < 0.5 ? '%' : '';
	my $gap = int rand 6;
	return choose(
		[ 20, "INSERT INTO $table (tenant_id, device_id, category, last_seen) VALUES ($tenant, 'd$device', $class, $seen) "
			  . 'ON CONFLICT (tenant_id, device_id) DO UPDATE SET last_seen = EXCLUDED.last_seen, category = EXCLUDED.category' ],
		[ 8, "INSERT INTO $table (tenant_id, device_id, category, last_seen) SELECT $tenant, 'd' || i, $class, $seen "
			  . "FROM generate_series($device, $device + 2) i ON CONFLICT DO NOTHING" ],
		[ 12, "UPDATE $table SET last_seen = $seen WHERE tenant_id = $tenant AND device_id = 'd$device'" ],
		[ 10, "UPDATE $table SET last_seen = now() WHERE last_seen >= now() - interval '20 days' AND device_id = 'd$device'" ],
		[ 8, "UPDATE $table SET $flag = NOT $flag WHERE tenant_id = $tenant AND device_id IN ('d$device', 'd1')" ],
		[ 2, "UPDATE $table SET merged_into = CASE WHEN merged_into IS NULL THEN 'd1' END WHERE tenant_id = $tenant AND device_id = 'd$device'" ],
		[ 8, "UPDATE $table d SET tenant_id = $other WHERE tenant_id = $tenant AND device_id = 'd$device' "
			  . "AND NOT EXISTS (SELECT FROM $table e WHERE e.tenant_id = $other AND e.device_id = 'd$device')" ],
		[ 10, "DELETE FROM $table WHERE tenant_id = $tenant AND device_id = 'd$device'" ],
		[ 2, "DELETE FROM $table WHERE device_id = 'd$device'" ],
		[ 5, "MERGE INTO $table t USING (SELECT $tenant AS tenant_id, 'd' || i AS device_id FROM generate_series(0, 3) i) s "
			  . "ON t.tenant_id = s.tenant_id AND t.device_id = s.device_id WHEN MATCHED AND t.device_id = 'd1' THEN DELETE "
			  . "WHEN MATCHED THEN UPDATE SET last_seen = $seen WHEN NOT MATCHED THEN INSERT (tenant_id, device_id, category, last_seen) "
			  . "VALUES (s.tenant_id, s.device_id, $class, now())" ],
		[ 4, 'UPDATE eiot.entitlement SET units = ' . (6 + int rand 10) . " WHERE tenant_id = $tenant" ],
		$run->{more} ? (
			[ 0.2, 'TRUNCATE ' . ($run->{one} ? 'asset.device' : 'asset.split_p' . int rand 3) ],
			# at its limit
			[ 8, 'UPDATE eiot.entitlement e SET units = GREATEST(0, c.counted + ' . (int(rand 3) - 1) . ") FROM eiot.tenant_coverage c "
				  . "WHERE c.tenant_id = e.tenant_id AND e.tenant_id = $tenant AND e.sku_id = 'b2f91841-252f-4765-94c3-75802d7c0ddb'" ],
			[ 1, "UPDATE eiot.entitlement SET state = (ARRAY['enabled', 'warning', 'suspended'])[" . (1 + int rand 3) . "] WHERE tenant_id = $tenant" ],
			[ 1, "INSERT INTO eiot.entitlement (tenant_id, sku_id, units) SELECT $tenant, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1 "
				  . "WHERE (SELECT count(*) FROM eiot.entitlement WHERE tenant_id = $tenant) < 3" ],
			[ 1, "DELETE FROM eiot.entitlement WHERE tenant_id = $tenant AND sku_id = '06ebc4ee-1bb5-47dd-8120-11324bc54e06'" ],
			[ 1, "SELECT eiot.set_alert($tenant, '$gap$percent', '" . ($gap - int rand 4) . "$percent', " . (rand() < 0.8 ? 'true' : 'false') . ')' ],
			[ 1, "SELECT eiot.set_alert($tenant, NULL::text, NULL)" ],
			[ 1, 'UPDATE eiot.tenant SET counting_rule = ' . (rand() < 0.4 ? "'2023-09'" : 'NULL') . " WHERE tenant_id = $tenant" ],
			[ 0.5, "INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES ($tenant, tstzrange(now() - interval '1 day', NULL)) ON CONFLICT DO NOTHING" ],
			[ 1, "DELETE FROM eiot.monitoring_off WHERE tenant_id = $tenant" ]) : (),
		[ 4, 'SELECT eiot.refresh()' ],
		[ 3, 'SELECT count(*) FROM eiot.tenant_coverage' ]);
}

my $gid = 0;

# One transaction by chance, as a script for psql.
sub transaction
{
	my ($run) = @_;
	my $statement = sub { return $run->{statement}->($run) . ";\n" };
	my $level = ('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')[int rand 4];
	my $n = rand() < 0.5 ? 1 : 1 + int rand 4;
	return $statement->() if $n == 1 && rand() < 0.5;
	my $sql = "BEGIN ISOLATION LEVEL $level;\n";
	for (1 .. $n)
	{
		if (rand() < 0.25)
		{
			$sql .= "SAVEPOINT s;\n" . $statement->() . (rand() < 0.6 ? 'ROLLBACK TO s' : 'RELEASE s') . ";\n";
		}
		else
		{
			$sql .= $statement->();
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

# The backends of sessions; the modules of PostgreSQL's give programs the name of the test.
my $backends = q{FROM pg_stat_activity WHERE application_name = 'session'};

# Runs sessions for so many seconds; if $kill, some of them are killed, and started again.
sub run_sessions
{
	my ($run, $for, $kill) = @_;
	my $node = $run->{node};
	my (@sessions, %errors);
	my $end = time() + $for;
	my $start = sub {
		my ($slot) = @_;
		my $session = { in => '', out => '', err => '', n => 0 };
		$session->{h} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($run->{db}) . ' application_name=session' ],
			'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
		$sessions[$slot] = $session;
	};
	$start->($_) for 0 .. $run->{sessions} - 1;
	my ($n, $killed) = (0, 0);
	while (time() < $end)
	{
		for my $slot (0 .. $run->{sessions} - 1)
		{
			my $s = $sessions[$slot];
			eval { $s->{h}->pump_nb; 1 } or do { $start->($slot); next; };
			$errors{$1}++ while $s->{err} =~ s/^(?:ERROR|FATAL):  (\w{5}:.*)\n//m;
			if (!$s->{h}->pumpable) { eval { $s->{h}->finish }; $start->($slot); next; }
			# keep a few transactions in its pipe
			my $done = () = $s->{out} =~ /^done$/mg;
			if ($s->{n} - $done < 5)
			{
				$s->{in} .= join('', map { transaction($run) . "\\echo done\n" } 1 .. 10);
				$s->{n} += 10;
				$n += 10;
			}
			if (length $s->{out} > 20_000) { $s->{out} = ''; $s->{n} = $s->{n} - $done; }
		}
		if ($kill && rand() < 0.02)
		{
			$killed += $node->safe_psql($run->{db},
				"SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid $backends AND state <> 'idle' ORDER BY random() LIMIT 1) s");
		}
		sleep 0.01;
	}
	return { sessions => \@sessions, n => $n, kill => $kill, killed => $killed, errors => \%errors };
}

# Ends them wherever they are; what they had begun is rolled back, and what they had prepared is committed.
sub finish_sessions
{
	my ($run, $state) = @_;
	my $node = $run->{node};
	for my $s (@{ $state->{sessions} })
	{
		$s->{in} = '';
		eval { $s->{h}->kill_kill };
	}
	ok($node->poll_query_until($run->{db}, "SELECT count(pg_terminate_backend(pid)) = 0 $backends"), 'no session is left');
	decide_prepared($run);
	cmp_ok($state->{killed}, '>', 0, 'sessions were killed') if $state->{kill};
	note("$state->{n} transactions, $state->{killed} sessions killed");
	note(sprintf '%6d %s', $state->{errors}{$_}, $_) for sort { $state->{errors}{$b} <=> $state->{errors}{$a} } keys %{ $state->{errors} };
	my @unexpected = grep { !/^(40001|40P01|23505|57P01|25P02|0A000|3B001|42704)/ } keys %{ $state->{errors} };
	is("@unexpected", '', 'no errors but those of competing transactions');
	return;
}

sub decide_prepared
{
	my ($run) = @_;
	$run->{node}->safe_psql($run->{db}, "COMMIT PREPARED '$_'")
	  for split /\n/, $run->{node}->safe_psql($run->{db}, 'SELECT gid FROM pg_prepared_xacts');
	return;
}

1;
