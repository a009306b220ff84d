# What the tests of the program eiot share: running it, files for it, and what it may not have changed.
package EiotClient;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(eiot succeeds fails_with state_of write_file gzip);

# Runs the program against a node's database (neither for none): status, standard output, standard error.
sub eiot
{
	my ($node, $db, $args, %params) = @_;
	local %ENV = %ENV;
	delete @ENV{ grep { /^PG(?!_TEST)/ } keys %ENV };
	$ENV{PGCONNECT_TIMEOUT} = 20;
	if ($node)
	{
		$ENV{PGHOST} = $node->host;
		$ENV{PGPORT} = $node->port;
		$ENV{PGDATABASE} = $db;
	}
	%ENV = (%ENV, %{ $params{env} }) if $params{env};
	my ($out, $err) = ('', '');
	my $in = $params{stdin} // '';
	IPC::Run::run([ 'eiot', @$args ], '<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($params{timeout} // 60));
	my $status = $? & 127 ? "signal " . ($? & 127) : $? >> 8;
	return ($status, $out, $err);
}

# It ends with 0 and says nothing on standard error; returns standard output.
sub succeeds
{
	my ($node, $db, $args, $what, %params) = @_;
	my ($status, $out, $err) = eiot($node, $db, $args, %params);
	is("$status|$err", '0|', $what) or diag($out);
	return $out;
}

# It ends with the status and one line on standard error that matches, and prints nothing.
sub fails_with
{
	my ($node, $db, $args, $status, $message, $what, %params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got, $out, $err) = eiot($node, $db, $args, %params);
	my $ok = $got eq $status && $out eq '' && $err =~ /\Aeiot: [^\n]+\n\z/ && $err =~ $message;
	ok($ok, $what) or diag("status $got instead of $status\nstandard output: $out\nstandard error: $err\nexpected: $message");
	return;
}

# All that an import could have changed, in one word.
sub state_of
{
	my ($node, $db, @tables) = @_;
	return join ' ', map {
		$node->safe_psql($db, "SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text)), '') FROM $_ t")
	} @tables;
}

sub write_file
{
	my ($path, $content) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $content;
	close $file or die "$path: $!";
	return $path;
}

sub gzip
{
	my ($path) = @_;
	system_or_bail('gzip', '-kf', $path);
	return "$path.gz";
}

1;
