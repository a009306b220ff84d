# The program eiot when something breaks: signals, locks, lost connections, a server that goes down.  An import leaves all or
# nothing; watch goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotClient;
use EiotTest;
use Errno;
use IO::Handle;
use IPC::Run;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Symbol;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_cluster('interrupted');
my $tenant = '5f2c0d6e-0000-4000-8000-000000000001';
my $patience = 60;

# No wait lasts longer: neither one of the test's own statements, nor one for what a process does.
$node->append_conf('postgresql.conf', "statement_timeout = '${patience}s'");
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', qq{
	SET client_min_messages = warning;
	CREATE EXTENSION eiot CASCADE;
	CREATE SCHEMA asset;
	SELECT eiot.create_inventory('asset.device');
	INSERT INTO eiot.tenant (tenant_id, name) VALUES ('$tenant', 'Fabrikam');
});

my $header = "Device ID,Last device update,Device Category,Device Type\n";
my $rows = join '', map { "dev-$_,2026-08-01T00:00:00Z,IoT,Camera\n" } 1 .. 20_000;
my $file = write_file("$dir/export.csv", $header . $rows);
my @import = ('import', 'devices', '--tenant', 'Fabrikam');

# The test's own PGAPPNAME would hide the program among the sessions.
sub client_env
{
	my %env = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'd');
	delete $env{PGAPPNAME};
	return %env;
}

# What a test that died has left
my @started;
END { $_->kill_kill(grace => 2) for grep { $_->pumpable } @started }

# A process that goes on beside the test: { run, in, out, err }.
sub start
{
	my ($command, $in) = @_;
	my $process = { in => Symbol::gensym(), out => '', err => '' };
	local %ENV = client_env();
	$process->{run} = IPC::Run::start($command, '<pipe', $process->{in}, '>', \$process->{out}, '2>', \$process->{err});
	push @started, $process->{run};
	$process->{in}->blocking(0);
	feed($process, $in) if defined $in;
	return $process;
}

# Hands a process all of the text, unless it has gone away; its standard input stays open.
sub feed
{
	my ($process, $text) = @_;
	my $end = time() + $patience;
	while (length $text && time() < $end)
	{
		my $written = syswrite $process->{in}, $text;
		last if !defined $written && !$!{EAGAIN};
		substr($text, 0, $written) = '' if $written;
		sleep 0.01 if !$written;
	}
	return;
}

# Waits for something; false if it never comes.
sub wait_until
{
	my ($process, $condition) = @_;
	my $end = time() + $patience;
	while (time() < $end)
	{
		$process->{run}->pump_nb if $process && $process->{run}->pumpable;
		return 1 if $condition->();
		sleep 0.05;
	}
	return 0;
}

sub wait_for_query
{
	my ($process, $what, $condition) = @_;
	my $found = wait_until($process, sub {
		return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'eiot' AND $condition") > 0;
	});
	ok($found, $what) or diag($process->{err});
	return;
}

sub stop
{
	my ($process) = @_;
	close $process->{in};
	$process->{run}->kill_kill(grace => 5);
	return;
}

sub pid_of { return $_[0]{run}{KIDS}[0]{PID} }

# The program ends: its status, and what it said.
sub ends_with
{
	my ($process, $status, $message, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $ended = wait_until($process, sub { return !$process->{run}->pumpable });
	if (!$ended)
	{
		fail("$what: it ends");
		stop($process);
		return;
	}
	close $process->{in};
	$process->{run}->finish;
	my $got = $process->{run}->full_result(0);
	my $ok = $got == $status << 8 && $process->{err} =~ $message;
	ok($ok, $what) or diag("wait status $got, standard error: $process->{err}");
	return;
}

sub devices { return $node->safe_psql('d', 'SELECT count(*) FROM asset.device') }

sub nothing_left
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(devices(), 0, "$what: nothing was imported");
	ok(wait_until(undef, sub { return $node->safe_psql('d', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'eiot'") == 0 }),
		"$what: no session is left");
	is($node->safe_psql('d', "SELECT count(*) FROM pg_class WHERE relname = 'eiot_staged_device'"), 0, "$what: nor its table");
	return;
}

# ---- Ctrl-C while rows are read

my $reject = write_file("$dir/rejects.csv", 'kept');
for my $signal ('INT', 'TERM')
{
	my $process = start([ 'eiot', @import, '--rejects', $reject, '-' ], $header . $rows);
	wait_for_query($process, 'rows are being copied', "query LIKE 'COPY%' AND state = 'active'");
	is(devices(), 0, 'nobody sees them');
	kill $signal, pid_of($process);
	ends_with($process, 3, qr/\Aeiot: interrupted: nothing was (?:imported|changed)\n\z/, "SIG$signal ends it");
	nothing_left("SIG$signal");
}
is(slurp_file($reject), 'kept', 'the reject file is the old one');
is_deeply([ glob "$dir/*.part" ], [], 'and nothing beside it');

# ---- while it waits for a lock

sub locked
{
	my $lock = start([ 'psql', '-XAtq' ], "BEGIN; LOCK TABLE asset.device IN SHARE MODE;\n\\echo locked\n");
	wait_until($lock, sub { return $lock->{out} =~ /locked/ }) or die 'no lock';
	return $lock;
}

sub unlock
{
	my ($lock, $how) = @_;
	feed($lock, ($how // 'ROLLBACK') . ";\n\\echo unlocked\n");
	wait_until($lock, sub { return $lock->{out} =~ /unlocked/ }) or die 'still locked';
	stop($lock);
	return;
}

my $lock = locked();
my $process = start([ 'eiot', @import, '--rejects', $reject, $file ]);
wait_for_query($process, 'the merge waits', "wait_event_type = 'Lock'");
kill 'INT', pid_of($process);
ends_with($process, 3, qr/\Aeiot: interrupted: nothing was (?:imported|changed)\n\z/, 'Ctrl-C cancels the merge');
nothing_left('Ctrl-C in the merge');
fails_with($node, 'd', [ @import, '-q', '--lock-timeout', '1', $file ], 3, qr/canceling statement due to lock timeout/, 'it does not wait for ever');
fails_with($node, 'd', [ @import, '-q', '--statement-timeout', '1', '--lock-timeout', '0', $file ], 3, qr/canceling statement due to statement timeout/, 'nor run for ever');
nothing_left('timeouts');

# ---- the connection breaks

$process = start([ 'eiot', @import, '--rejects', $reject, $file ]);
wait_for_query($process, 'the merge waits', "wait_event_type = 'Lock'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eiot'");
ends_with($process, 3, qr/\Aeiot: [^\n]*(?:connection broke|terminating connection)[^\n]*\n\z/, 'a connection that breaks in the merge');
unlock($lock);
nothing_left('broken in the merge');
is(slurp_file($reject), 'kept', 'the reject file is still the old one');

$process = start([ 'eiot', @import, '-' ], $header . $rows);
wait_for_query($process, 'rows are being copied', "query LIKE 'COPY%' AND state = 'active'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eiot'");
feed($process, $rows x 20);
ends_with($process, 3, qr/\Aeiot: [^\n]*(?:connection broke|terminating connection)[^\n]*\n\z/, 'a connection that breaks while rows are read');
nothing_left('broken while rows are read');

# ---- the server goes down without warning

$lock = locked();
$process = start([ 'eiot', @import, $file ]);
wait_for_query($process, 'the merge waits', "wait_event_type = 'Lock'");
$node->stop('immediate');
ends_with($process, 3, qr/\Aeiot: [^\n]*(?:connection broke|terminating connection)[^\n]*\n\z/, 'a server that goes down in the merge');
stop($lock);
$node->start;
# Its session's temporary table, empty or not, is for autovacuum to drop, as after any crash.
is(devices(), 0, 'a server that went down: nothing was imported');
is(succeeds($node, 'd', [ @import, $file ], 'once more'), "Fabrikam: 20000 rows read, 20000 devices, 20000 stored, 0 rejected\n", 'all of it is there');

# ---- two at once

$node->safe_psql('d', 'TRUNCATE asset.device');
my @both = map { start([ 'eiot', @import, '-q', $file ]) } 1, 2;
ends_with($_, 0, qr/\A\z/, 'one of two at once') for @both;
is(devices(), 20_000, 'every device is there once');

# A tenant's first import inserts. If somebody else was quicker with a device, it starts over and compares.
$node->safe_psql('d', 'TRUNCATE asset.device');
my $other = start([ 'psql', '-XAtq' ], "BEGIN; INSERT INTO asset.device (tenant_id, device_id, name, first_seen, last_seen) VALUES
	('$tenant', 'dev-7', 'newer', '2026-07-01', '2026-08-02'), ('$tenant', 'dev-8', 'older', '2026-07-02', '2026-07-03');\n\\echo inserted\n");
wait_until($other, sub { return $other->{out} =~ /inserted/ }) or die 'not inserted';
$process = start([ 'eiot', @import, $file ]);
wait_for_query($process, 'it waits for the other one', "wait_event_type = 'Lock'");
unlock($other, 'COMMIT');
ends_with($process, 0, qr/\A\z/, 'it goes on');
is($process->{out}, "Fabrikam: 20000 rows read, 20000 devices, 19999 stored, 0 rejected\n", 'and says what it stored');
is($node->safe_psql('d', q{SELECT string_agg(concat_ws(' ', device_id, type, first_seen::date, last_seen::date), ', ' ORDER BY device_id)
	FROM asset.device WHERE device_id IN ('dev-7', 'dev-8')}), 'dev-7 2026-07-01 2026-08-02, dev-8 Camera 2026-07-02 2026-08-01', 'the newest row won');

# ---- progress on a terminal

SKIP:
{
	skip 'no program "script"', 2 if system("script --version >/dev/null 2>&1") != 0;
	local %ENV = client_env();
	my $big = write_file("$dir/big.csv", $header . join '', map { "big-$_,2026-08-01T00:00:00Z,IoT,Camera\n" } 1 .. 300_000);
	my $printed = `timeout $patience script -qec "eiot @import $big" /dev/null`;
	like($printed, qr/\r(?:\[#* *\] +\d+%  [\d,]+ rows  [\d,]+ rows\/s  \d+:\d\d left|merging  \d+ s) /, 'a terminal sees how far it is');
	like($printed, qr/Fabrikam: 300000 rows read, .*\n.*eiot: \d+\.\d s, [\d,]+ rows\/s\r\n\z/, 'and at the end what it was');
}

# ---- watch

# Only devices that were seen lately count.
my $lately = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time() - 3600));
$file = write_file("$dir/lately.csv", $header . $rows =~ s/2026-08-01T00:00:00Z/$lately/gr);
$node->safe_psql('d', 'TRUNCATE asset.device');
succeeds($node, 'd', [ @import, '-q', $file ], 'devices without licenses, before anybody watches');
$node->safe_psql('d', q{SELECT eiot.watch('asset.device')});
my $watch = start([ 'eiot', 'watch' ]);
wait_for_query($watch, 'it listens', "query LIKE '%flag_event%' AND state = 'idle'");
is($watch->{out}, '', 'what was before is not told');

sub printed
{
	my ($expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until($watch, sub { return $watch->{out} =~ $expected }), $what) or diag("$watch->{out}$watch->{err}");
	return;
}
sub notify { return $node->safe_psql('d', "NOTIFY eiot_coverage, " . $_[0]) }

$node->safe_psql('d', 'TRUNCATE asset.device');
printed(qr/\A\{"flag_event_id" : \d+, [^\n]*"kind" : "cleared"[^\n]*\}\n\z/, 'a cleared flag');
succeeds($node, 'd', [ @import, '-q', $file ], 'devices without licenses');
printed(qr/\n\{"flag_event_id" : \d+, "tenant_id" : "$tenant", [^\n]*"kind" : "raised", "devices" : 20000, "capacity" : 0, "gap" : 20000\}\n\z/,
	'a raised one, as the server tells it');
$watch->{out} = '';
notify(qq('{"a": [1,\n2], "b": "}"}'));
printed(qr/\A\{"a": \[1, 2\], "b": "\}"\}\n\z/, 'JSON over two lines comes on one');
$watch->{out} = '';
notify(q(E'plain \\x1b[31m "text"\\n{'));
printed(qr/\A\{"payload": "plain \\u001b\[31m \\"text\\"\\u000a\{"\}\n\z/, 'what is none comes as a string');
$watch->{out} = '';
notify(q('{"a": 1} {"b": 2}'));
printed(qr/\A\{"payload": "\{\\"a\\": 1\} \{\\"b\\": 2\}"\}\n\z/, 'two objects are none');

# Broken, with events meanwhile.
$watch->{out} = '';
kill 'STOP', pid_of($watch);
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eiot'");
$node->safe_psql('d', 'TRUNCATE asset.device');
succeeds($node, 'd', [ @import, '-q', $file ], 'events while nobody listens');
kill 'CONT', pid_of($watch);
printed(qr/\A\{[^\n]*"cleared"[^\n]*\}\n\{[^\n]*"raised"[^\n]*\}\n\z/, 'are told after the connection is there again');
like($watch->{err}, qr/\Aeiot: [^\n]*the connection broke [^\n]*\neiot: connected again\n\z/, 'it says so');

# The server goes down for a while.
$watch->{out} = $watch->{err} = '';
$node->stop('fast');
ok(wait_until($watch, sub { return $watch->{err} =~ /trying again in 2 s\n.*trying again in 4 s\n/s }), 'it waits longer each time') or diag($watch->{err});
$node->start;
ok(wait_until($watch, sub { return $watch->{err} =~ /connected again\n\z/ }), 'and is there again') or diag($watch->{err});
notify(q('{"n": 1}'));
printed(qr/\A\{"n": 1\}\n\z/, 'each event once');
kill 'TERM', pid_of($watch);
ends_with($watch, 0, qr/./, 'SIGTERM ends it well');

$watch = start([ 'eiot', 'watch', '-q' ]);
wait_for_query($watch, 'it listens', "query LIKE '%flag_event%' AND state = 'idle'");
$node->stop('fast');
sleep 1.5;
kill 'INT', pid_of($watch);
ends_with($watch, 0, qr/\A\z/, 'SIGINT while the server is away, quiet');
fails_with($node, 'd', ['watch'], 3, qr/connection to server/, 'the first connection must be there');
$node->start;

# Nobody reads any more.
{
	my $gone = start([ 'sh', '-c', "eiot watch 2>'$dir/gone' | true; echo ended" ]);
	ok(wait_until($gone, sub { return $gone->{out} =~ /ended/ }), 'a reader that went away ends it, without anything to print');
	is(slurp_file("$dir/gone"), '', 'and without a word');
}

is($node->safe_psql('d', q{SELECT count(*) FROM eiot.check_watch('asset.device')}), 0, 'live counts are those of a recount');
$node->stop;
done_testing();
