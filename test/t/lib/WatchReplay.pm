# A replay of what was committed, to compare the flags with: the transactions in the order of their commits, as logical
# decoding has them, counted here device by device.  Nothing of the extension's code takes part in it.
#
# Time is no change of a row, so devices must be either active or silent for good, and licenses must not end.
package WatchReplay;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(replay_settings replay_from_here replay is_replayed);

use constant SLOT => 'replay';

sub replay_settings
{
	return ('wal_level = logical', 'max_wal_senders = 2', 'max_replication_slots = 2');
}

# What is committed from here on can be replayed; false if the server lacks the plugin.
sub replay_from_here
{
	my ($node, $db) = @_;
	return 0 unless -e (qx(pg_config --pkglibdir) =~ s/\n//r) . '/test_decoding.so';
	$node->safe_psql($db, "SELECT FROM pg_create_logical_replication_slot('${\SLOT}', 'test_decoding')");
	return 1;
}

# The values of a row, by column; null ones are undef.
sub row
{
	my ($text) = @_;
	my %row;
	while ($text =~ /\G(?:"((?:[^"]|"")+)"|(\w+))\[((?:[^\[\]]|\[\])+)\]:(?:'((?:[^']|'')*)'|(\S+)) ?/gc)
	{
		my ($column, $quoted, $bare) = ($1 // $2, $4, $5);
		$quoted =~ s/''/'/g if defined $quoted;
		$row{$column} = $quoted // ($bare eq 'null' ? undef : $bare);
	}
	die "cannot read: " . substr($text, pos($text) // 0) if (pos($text) // 0) < length $text;
	return \%row;
}

# Does a device count?  By hand, from the documentation of the rules.
sub counts
{
	my ($device, $rule, $silent_before) = @_;
	return 0 unless $device->{category} eq 'IoT' || $device->{category} eq 'Network device' && ($rule // '') eq '2023-09';
	return 0 if $device->{excluded} eq 'true' || $device->{transient} eq 'true' || defined $device->{merged_into};
	return !defined $device->{last_seen} || $device->{last_seen} ge $silent_before;
}

# Reads what was committed since, and returns a hash: transactions and crossings (how many), differences (a text for each),
# events (the keys of flag_event, in the order of the commits) and state (a text of each tenant's count, capacity as readers
# see it, and flag).
sub replay
{
	my ($node, $db) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/changes';
	$node->safe_psql($db, "\\o $file\nSELECT data FROM pg_logical_slot_get_changes('${\SLOT}', NULL, NULL, 'skip-empty-xacts', '1')");
	my $silent_before = $node->safe_psql($db, "SELECT now() - interval '35 days'");
	my %result = (transactions => 0, crossings => 0, differences => [], events => []);
	my (%state, %devices, %entitlements, %alerts, %off, %rule, %flagged);
	my ($xid, %touched, @events);

	my $remember = sub {
		my ($table, $old, $new) = @_;
		if ($table =~ /^asset\./)
		{
			$touched{ $_->{tenant_id} } = 1 for grep { defined } $old, $new;
			delete $devices{ $old->{tenant_id} }{"$table $old->{device_id}"} if $old;
			$devices{ $new->{tenant_id} }{"$table $new->{device_id}"} = $new if $new;
		}
		elsif ($table =~ /^eiot\.(?:entitlement|monitoring_off)$/)
		{
			my ($key, $of) = $table eq 'eiot.entitlement' ? ('entitlement_id', \%entitlements) : ('monitoring_off_id', \%off);
			$touched{ $_->{tenant_id} } = 1 for grep { defined } $old, $new;
			delete $of->{ $old->{tenant_id} }{ $old->{$key} } if $old;
			$of->{ $new->{tenant_id} }{ $new->{$key} } = $new if $new;
		}
		elsif ($table eq 'eiot.alert')
		{
			$touched{ ($old // $new)->{tenant_id} } = 1;
			$alerts{ ($old // $new)->{tenant_id} } = $new;
		}
		elsif ($table eq 'eiot.tenant')
		{
			$touched{ ($old // $new)->{tenant_id} } = 1;
			$rule{ ($old // $new)->{tenant_id} } = $new->{counting_rule};
		}
		elsif ($table eq 'eiot.flag_event')
		{
			die "flag_event was updated" if $old;
			push @events, $new;
		}
		return;
	};

	# What a tenant is at a commit.
	my $look = sub {
		my ($tenant) = @_;
		my $alert = $alerts{$tenant} // { raise_at => 0, clear_at => 0, unit => 'devices', count_warning_units => 'true' };
		my ($counted, $capacity, $shown) = (0, 0, 0);
		$counted += counts($_, $rule{$tenant}, $silent_before) ? 1 : 0 for values %{ $devices{$tenant} };
		for my $e (values %{ $entitlements{$tenant} })
		{
			next unless $e->{state} eq 'enabled' || $e->{state} eq 'warning';
			my $devices = $e->{units} * ($e->{sku_id} eq '06ebc4ee-1bb5-47dd-8120-11324bc54e06' ? 5 : 1);
			# The alert says whether these cover devices where the flag is decided, the setting, which is on, where one reads.
			$capacity += $devices if $e->{state} eq 'enabled' || $alert->{count_warning_units} eq 'true';
			$shown += $devices;
		}
		$capacity = $shown = 0 if %{ $off{$tenant} // {} };
		my ($raise_at, $clear_at) = map { $alert->{unit} eq 'percent' ? $alert->{$_} * $capacity / 100 : $alert->{$_} } qw(raise_at clear_at);
		return {
			counted => $counted, capacity => $capacity, shown => $shown,
			above => $counted - $capacity > $raise_at, below => $counted - $capacity <= $clear_at };
	};

	open my $changes, '<', $file or die "$file: $!";
	while (my $line = <$changes>)
	{
		chomp $line;
		if ($line =~ /^BEGIN (\d+)/)
		{
			($xid, @events) = ($1);
			%touched = ();
		}
		elsif ($line =~ /^COMMIT/)
		{
			my (%expected, %found);
			for my $tenant (keys %touched)
			{
				my $now = $state{$tenant} = $look->($tenant);
				my $raised = $flagged{$tenant} ? !$now->{below} : $now->{above};
				next if !$raised == !$flagged{$tenant};
				my $gap = $now->{counted} > $now->{capacity} ? $now->{counted} - $now->{capacity} : 0;
				$expected{$tenant} = ($raised ? 'raised' : 'cleared') . " with $now->{counted} devices for $now->{capacity}, gap $gap";
				$result{crossings}++;
			}
			for my $event (@events)
			{
				my $tenant = $event->{tenant_id};
				$found{$tenant} .= "$event->{kind} with $event->{devices} devices for $event->{capacity}, gap $event->{gap}";
				# From here on as it is told: one mistake is one difference.
				$flagged{$tenant} = $event->{kind} eq 'raised';
				push @{ $result{events} }, $event->{flag_event_id};
			}
			for my $tenant (sort keys %{ { %expected, %found } })
			{
				my ($should, $is) = map { $_ // 'nothing' } $expected{$tenant}, $found{$tenant};
				push @{ $result{differences} }, "transaction $xid, tenant $tenant: should be $should, is $is" if $should ne $is;
			}
			$result{transactions}++;
		}
		elsif ($line =~ /^table (.*): TRUNCATE:/)
		{
			for my $table (split /, /, $1)
			{
				for my $tenant (keys %devices)
				{
					my @gone = grep { /^\Q$table\E / } keys %{ $devices{$tenant} } or next;
					delete @{ $devices{$tenant} }{@gone};
					$touched{$tenant} = 1;
				}
			}
		}
		elsif ($line =~ /^table (\S+): INSERT: (.*)/) { $remember->($1, undef, row($2)); }
		elsif ($line =~ /^table (\S+): UPDATE: old-key: (.*) new-tuple: (.*)/) { $remember->($1, row($2), row($3)); }
		elsif ($line =~ /^table (\S+): DELETE: (.*)/) { $remember->($1, row($2), undef); }
		elsif ($line =~ /^table (?:asset|eiot\.(?:entitlement|alert|tenant|monitoring_off|flag_event))\b/)
		{
			die "cannot replay: $line";
		}
	}
	close $changes;
	unlink $file;
	$result{state} = join "\n", map { join '|', $_, @{ $state{$_} }{qw(counted shown)}, $flagged{$_} ? 't' : 'f' } sort keys %state;
	return \%result;
}

# Compares what the extension kept and flagged with the replay.
sub is_replayed
{
	my ($node, $db, $replay) = @_;
	my @differences = @{ $replay->{differences} };
	is(join("\n", @differences[ 0 .. ($#differences < 9 ? $#differences : 9) ]), '', 'each is flagged where it happens, and once');
	is($node->safe_psql($db, q{
			SELECT c.tenant_id, c.counted, c.capacity, l.flagged FROM eiot.tenant_coverage c JOIN eiot.live_tenant l USING (tenant_id) ORDER BY 1}),
		$replay->{state}, 'counts, capacities and flags at the end are those of the replay');
	return;
}

1;
