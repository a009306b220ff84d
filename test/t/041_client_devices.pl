# eiot import devices: every form of file gives what import_device_info gives, and bad ones change nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotClient;
use EiotTest;
use Encode qw(encode_utf8);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $data = data_dir();
my $node = new_cluster('devices');
my $tenant = '5f2c0d6e-0000-4000-8000-000000000001';
my @import = ('import', 'devices', '--inventory', 'asset.device', '--tenant', $tenant);

$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', q{
	SET client_min_messages = warning;
	CREATE EXTENSION eiot CASCADE;
	CREATE SCHEMA asset;
	SELECT eiot.create_inventory('asset.device'), eiot.create_inventory('asset.reference'), eiot.create_inventory('asset.split', 3);
});
$node->safe_psql('d', "INSERT INTO eiot.tenant (tenant_id, name) VALUES ('$_->{tenant_id}', '$_->{name}')") for tenants();

# ---- the exports, as they are

load_exports($node, 'd', 'asset.reference') if $node->safe_psql('d', 'DELETE FROM eiot.tenant RETURNING 1');
for (tenants())
{
	my $file = "$data/$_->{folder}/DeviceInfo.json";
	my $rows = @{ rows_of($file) };
	for my $inventory ('asset.device', 'asset.split')
	{
		my @into = ('import', 'devices', '--tenant', $_->{name}, '--inventory', $inventory, $file);
		if (!$rows)
		{
			fails_with($node, 'd', \@into, 2, qr/has no rows/, "$_->{name}: no rows");
			next;
		}
		like(succeeds($node, 'd', \@into, "$_->{name} into $inventory"), qr/\A$_->{name}: $rows rows read, \d+ devices, \d+ stored, 0 rejected\n\z/, 'it says what came');
	}
}
is(state_of($node, 'd', 'asset.device'), state_of($node, 'd', 'asset.reference'), 'the same as by import_device_info');
is(state_of($node, 'd', 'asset.split'), state_of($node, 'd', 'asset.reference'), 'in partitions as well');
like(succeeds($node, 'd', [ 'import', 'devices', '--tenant', 'Contoso', '--inventory', 'asset.device', "$data/contoso/DeviceInfo.json" ], 'the same file again'),
	qr/, 0 stored,/, 'stores nothing');
succeeds($node, 'd', [ 'import', 'devices', '-q', '--tenant', 'Contoso', '--inventory', 'asset.device', "$data/contoso/DeviceInfo-managed.json" ], 'a later one');
$node->safe_psql('d', "SELECT eiot.import_device_info('asset.reference', '5f2c0d6e-0000-4000-8000-000000000002', pg_read_file('$data/contoso/DeviceInfo-managed.json')::jsonb)");
is(state_of($node, 'd', 'asset.device'), state_of($node, 'd', 'asset.reference'), 'changes the same');

# ---- the same rows in other forms

sub rows_of
{
	my ($file) = @_;
	my $body = decode_json(slurp_file($file));
	return ref $body eq 'ARRAY' ? $body : $body->{Results} // $body->{value};
}

sub csv
{
	my ($end, $separator, $quote_all, $header, @records) = @_;
	return encode_utf8(join '', map {
		join($separator, map {
				my $value = $_ // '';
				$value =~ s/"/""/g;
				$quote_all || $value =~ /["\n\r$separator]/ ? qq("$value") : $value
			} @$_) . $end
	} $header, @records);
}

my $proseware = (grep { $_->{folder} eq 'proseware' } tenants())[0]{tenant_id};
my $rows = rows_of("$data/proseware/DeviceInfo.json");
my %seen;
my @members = grep { !$seen{$_}++ } map { sort keys %$_ } @$rows;
my @titles = map {
	{
		DeviceId => 'Device ID', Timestamp => 'Last device update', DeviceName => 'Device Name', DeviceCategory => 'device category',
		DeviceType => 'TYPE', MacAddress => 'MAC address', IPAddress => 'IP', OSPlatform => 'OS Platform', DeviceManualTags => 'Tags',
		IsExcluded => 'Exclusion State', IsTransient => 'Transient device'
	}->{$_} // $_
} @members;
my @records = map {
	my $row = $_;
	[ map { JSON::PP::is_bool($row->{$_}) ? ($row->{$_} ? 'true' : 'false') : $row->{$_} } @members ]
} @$rows;
my @portal = map {
	my $row = $_;
	[ map {
			my $value = $row->{$_};
			$_ eq 'IsExcluded' ? ($value ? 'Excluded' : 'Not excluded') : $_ eq 'IsTransient' ? ($value ? 'Yes' : 'No') : $value
		} @members ]
} @$rows;
my @order = reverse 0 .. $#members;
my $encoder = JSON::PP->new->canonical->allow_nonref;

sub text_of { return $encoder->utf8->encode($_[0]) }

my %forms = (
	'array.json' => text_of($rows),
	'value.json' => "\xEF\xBB\xBF" . JSON::PP->new->utf8->pretty->encode({ '@odata.context' => 'x', value => $rows, Stats => { a => [ {}, [], 1.5e3, undef ] } }),
	'lines.json' => join("\n", map { text_of($_) } @$rows) . "\n\n",
	'crlf.json' => join("\r\n", map { text_of($_) } @$rows),
	'one-line.json' => join(' ', map { text_of($_) } @$rows),
	'escaped.json' => JSON::PP->new->ascii->encode($rows),
	'plain.csv' => csv("\n", ',', 0, \@members, @records),
	'windows.csv' => "\xEF\xBB\xBF" . csv("\r\n", ',', 1, \@titles, @portal),
	'mac.csv' => csv("\r", ',', 0, \@titles, @portal),
	'semicolon.csv' => csv("\r\n", ';', 0, \@titles, @portal),
	'tab.csv' => csv("\n", "\t", 0, \@titles, @portal),
	'order.csv' => csv("\n", ',', 0, [ 'Risk level', map({ uc $members[$_] } @order), 'Notes' ],
		map { my $r = $_; [ 'None', map({ $r->[$_] } @order), qq(a "note"\r\nof, two lines) ] } @records),
);
my $reference = state_of($node, 'd', 'asset.reference');
for my $form (sort keys %forms)
{
	my $file = write_file("$dir/$form", $forms{$form});
	for (
		[ 'by name', [$file], '' ],
		[ 'compressed', [ gzip($file) ], '' ],
		[ 'from standard input', ['-'], $forms{$form} ])
	{
		my ($how, $files, $stdin) = @$_;
		$node->safe_psql('d', "DELETE FROM asset.device WHERE tenant_id = '$proseware'");
		is(succeeds($node, 'd', [ 'import', 'devices', '--inventory', 'asset.device', '--tenant', 'Proseware', @$files ], "$form $how", stdin => $stdin),
			"Proseware: 74 rows read, 71 devices, 71 stored, 0 rejected\n", 'all rows came');
		is(state_of($node, 'd', 'asset.device'), $reference, 'and are the same');
	}
}

# ---- what the server reads in its own way, row by row

$node->safe_psql('d', 'TRUNCATE asset.device, asset.reference');
my @odd = (
	{ DeviceId => 'a', Timestamp => '08/11/2026 10:40:03 PM', MacAddress => '0007.4d11.2233', IPAddress => '10.1.2.0/24', IsExcluded => 'on', IsTransient => 't' },
	{ DeviceId => 'b', Timestamp => '2026-08-11T22:40:03.12345678+05:30', MacAddress => '00-07-4D-11-22-33', IPAddress => 'fe80::1', DeviceManualTags => '["a", "b,\"c\""]', DeviceDynamicTags => 'd' },
	{ DeviceId => 'c', Timestamp => '2026-08-11 22:40', DeviceName => "quote \" comma , \x{20ac} \x{1f5a8}", IPAddress => '::ffff:10.0.0.1' },
	{ DeviceId => 'c', Timestamp => '2026-08-11 22:40', DeviceName => 'the later of two at the same time' },
	{ DeviceId => 'd', Timestamp => 'Aug 11, 2026 1:02:03 AM', FirstSeen => '2026-01-02', DeviceManualTags => '[]', DeviceDynamicTags => '["x"]' },
	{ DeviceId => 'e', Timestamp => '2026-08-11T22:40:03.4999995Z', FirstSeen => '2026-12-31T00:00:00Z' },
	{ DeviceId => 'f', Timestamp => '2024-02-29T23:59:59.999999Z', DeviceManualTags => '["\u00e9"]', Site => "two\nlines" },
	{ DeviceId => 'g', Timestamp => '2026-08-11T22:40:03.0000005-0800', Vendor => 'x' x 40000, IsExcluded => 'no', IsTransient => 'YES' },
	{ DeviceId => ' h ', Timestamp => '20260811T224003', MacAddress => '', IPAddress => '' },
);
write_file("$dir/odd.json", text_of(\@odd));
is(succeeds($node, 'd', [ @import, "$dir/odd.json" ], 'odd values'), "Fabrikam: 9 rows read, 8 devices, 8 stored, 0 rejected\n", 'are read by the server');
$node->safe_psql('d', "SELECT eiot.import_device_info('asset.reference', '$tenant', pg_read_file('$dir/odd.json')::jsonb)");
is(state_of($node, 'd', 'asset.device'), state_of($node, 'd', 'asset.reference'), 'as import_device_info reads them');
is($node->safe_psql('d', q{SELECT first_seen FROM asset.device WHERE device_id = 'd'}), '2026-01-02 00:00:00+00', 'first seen when the export says');

# The newest row wins, over files and over what is stored; a column that no file has stays.
$node->safe_psql('d', 'TRUNCATE asset.device');
write_file("$dir/1.csv", "Device ID,Last device update,Name,Site\nx,2026-08-02,second,Bern\ny,2026-08-01,y,Basel\n");
write_file("$dir/2.csv", "Device ID,Last device update,Name,Site\nx,2026-08-01,first,Chur\nx,2026-08-03,third,Thun\n");
write_file("$dir/3.csv", "Device ID,Last device update,Name\nx,2026-08-02,older,\ny,2026-08-04,newer\n");
succeeds($node, 'd', [ @import, '-q', "$dir/1.csv", "$dir/2.csv" ], 'two files');
is($node->safe_psql('d', q{SELECT string_agg(concat_ws(',', device_id, name, site, first_seen::date, last_seen::date), ' ' ORDER BY device_id) FROM asset.device}),
	'x,third,Thun,2026-08-01,2026-08-03 y,y,Basel,2026-08-01,2026-08-01', 'the newest row wins');
write_file("$dir/3.csv", "Device ID,Last device update,Name\nx,2026-07-30,older\ny,2026-08-04,newer\n");
is(succeeds($node, 'd', [ @import, "$dir/3.csv" ], 'a file with fewer columns'), "Fabrikam: 2 rows read, 2 devices, 2 stored, 0 rejected\n", 'is imported');
is($node->safe_psql('d', q{SELECT string_agg(concat_ws(',', device_id, name, site, first_seen::date, last_seen::date), ' ' ORDER BY device_id) FROM asset.device}),
	'x,third,Thun,2026-07-30,2026-08-03 y,newer,Basel,2026-08-01,2026-08-04', 'an older row moves first_seen alone, the missing column stays');

# A list of addresses gives the first; a name of DeviceInfo goes before another; empty lines are no rows.
$node->safe_psql('d', 'TRUNCATE asset.device');
write_file("$dir/list.csv", "\n\nDevice IPs,Name,DeviceName,Device ID,Timestamp\n\"10.1.2.3, fe80::1\",no,yes,x,2026-08-01\n\n\n10.9.9.9;10.8.8.8,no,yes,y,2026-08-01");
succeeds($node, 'd', [ @import, '-q', "$dir/list.csv" ], 'lists of addresses');
is($node->safe_psql('d', q{SELECT string_agg(concat_ws(',', device_id, name, ip), ' ' ORDER BY device_id) FROM asset.device}),
	'x,yes,10.1.2.3 y,yes,10.9.9.9', 'the first of each');

# ---- bad input: one line, status 2, and nothing changed

my $good = "Device ID,Last device update,Name\nz,2026-08-01,z\n";
my $before = state_of($node, 'd', 'asset.device', 'eiot.tenant', 'eiot.import_reject', 'eiot.device_import');
my %bad = (
	'empty.csv' => [ '', qr/empty\.csv" is empty/ ],
	'blank.csv' => [ " \n\r\n", qr/is empty/ ],
	'bom.csv' => [ "\xEF\xBB\xBF", qr/is empty/ ],
	'header.csv' => [ "Device ID,Last device update\r\n", qr/has no rows/ ],
	'none.json' => [ '{"Results":[]}', qr/has no rows/ ],
	'other.csv' => [ "a,b\n1,2\n", qr/is no export of devices: it has no column "Device ID", but a, b/ ],
	'no-time.csv' => [ "Device ID,Name\n1,2\n", qr/no column "Last device update"/ ],
	'twice.csv' => [ "DeviceId,Timestamp,Vendor,vendor\n1,2,3,4\n", qr/has the column "vendor" twice/ ],
	'utf16.csv' => [ "\xFF\xFED\0e\0v\0", qr/is UTF-16: convert it with iconv/ ],
	'latin1.csv' => [ $good . "y,2026-08-01,Caf\xe9\n", qr/latin1\.csv", line 3: a field is not UTF-8; convert/ ],
	'latin1-header.csv' => [ "Device ID,Last device update,G\xe9\n1,2,3\n", qr/neither CSV nor JSON in UTF-8/ ],
	'nul.csv' => [ $good . "y,2026-08-01,a\0b\n", qr/line 3: a field contains a NUL byte/ ],
	'binary.csv' => [ join('', map { chr } 0 .. 255), qr/neither CSV nor JSON|no export of devices/ ],
	'fields.csv' => [ $good . "y,2026-08-01\n", qr/line 3: it has 2 fields, the header has 3/ ],
	'more-fields.csv' => [ $good . "y,2026-08-01,a,b\n", qr/line 3: it has 4 fields, the header has 3/ ],
	'quote.csv' => [ $good . qq(y,2026-08-01,"open\n), qr/line 3: a quoted field is not closed/ ],
	'behind.csv' => [ $good . qq(y,2026-08-01,"a"b\n), qr/line 3: there is text behind a closing quote/ ],
	'no-id.csv' => [ $good . ",2026-08-01,a\n", qr/no-id\.csv", line 3: DeviceId is missing; nothing was imported/ ],
	'time.csv' => [ $good . qq("two\nlines",2026-08-01,a\ny,yesterday,a\nx,,a\n), qr/time\.csv", line 5: .*yesterday.* \(and 1 rows more\)/ ],
	'future.csv' => [ $good . "y,2126-08-01T00:00:00Z,a\n", qr/line 3: Timestamp lies in the future/ ],
	'infinite.csv' => [ $good . "y,infinity,a\n", qr/line 3: Timestamp is no instant/ ],
	'first.csv' => [ "Device ID,Last device update,First seen\ny,2026-08-01,-infinity\n", qr/line 2: .*-infinity/ ],
	'long.csv' => [ $good . 'y,2026-08-01,' . 'a' x 70000 . "\n", qr/line 3: a field is longer than 65536 bytes/ ],
	'long-id.csv' => [ $good . 'a' x 1025 . ",2026-08-01,a\n", qr/line 3: DeviceId is longer than 1024 bytes/ ],
	'mac.csv' => [ "Device ID,Last device update,MAC\ny,2026-08-01,xyz\n", qr/line 2: .*macaddr: "xyz"/ ],
	'exclusion.csv' => [ "Device ID,Last device update,Exclusion state\ny,2026-08-01,perhaps\n", qr/line 2: .*boolean: "perhaps"/ ],
	'row.csv' => [ $good . 'y,2026-08-01,"' . 'a' x (9 * 1024 * 1024) . "\"\n", qr/line 3: the row is longer than 8 MB/ ],
	'cut.json' => [ substr(text_of({ Results => $rows }), 0, 5000), qr/is cut off: it ends in line 1, in the middle of a value/ ],
	'cut-in-key.json' => [ '[{"DeviceId":"a","Timest', qr/is cut off/ ],
	'cut-behind-row.json' => [ '[{"DeviceId":"a","Timestamp":"2026-08-01"},', qr/is cut off/ ],
	'cut-wrapper.json' => [ '{"value":[{"DeviceId":"a","Timestamp":"2026-08-01"}]', qr/is cut off/ ],
	'behind.json' => [ '[{"DeviceId":"a","Timestamp":"2026-08-01"}] x', qr/line 1: not JSON: there is something behind the end/ ],
	'comma.json' => [ "[{\"DeviceId\":\"a\"\n\"Timestamp\":\"2026-08-01\"}]", qr/line 2: not JSON: expected a comma/ ],
	'key.json' => [ '[{DeviceId:"a"}]', qr/not JSON: expected a key/ ],
	'word.json' => [ '[{"DeviceId":"a","Timestamp":nan}]', qr/not JSON: expected a value/ ],
	'number.json' => [ '[{"DeviceId":+1}]', qr/not JSON: expected a value/ ],
	'escape.json' => [ '[{"DeviceId":"\q"}]', qr/not JSON: an unknown escape/ ],
	'hex.json' => [ '[{"DeviceId":"\u12g4"}]', qr/not JSON: \\u wants four/ ],
	'control.json' => [ "[{\"DeviceId\":\"a\nb\"}]", qr/not JSON: a control character/ ],
	'deep.json' => [ '[{"DeviceId":"a","AdditionalFields":' . '[' x 2000 . ']' x 2000 . '}]', qr/not JSON: nested too deeply/ ],
	'brackets.json' => [ '[{"DeviceId":"a","x":[1}]', qr/not JSON/ ],
	'nul.json' => [ '[{"DeviceId":"a","Timestamp":"2026-08-01","DeviceName":"\u0000"}]', qr/line 1: a field contains a NUL/ ],
	'half.json' => [ '[{"DeviceId":"a","Timestamp":"2026-08-01","DeviceName":"\ud83d"}]', qr/line 1: a field contains half a character/ ],
	'latin1.json' => [ qq([{"DeviceId":"a","Timestamp":"2026-08-01","DeviceName":"\xe9"}]), qr/line 1: a field is not UTF-8/ ],
	'long.json' => [ '[{"DeviceId":"a","x":"' . 'a' x (9 * 1024 * 1024) . '"}]', qr/a row is longer than 8 MB/ ],
	'page.json' => [ '{"@odata.nextLink":"https://x","value":[{"DeviceId":"a","Timestamp":"2026-08-01"}]}', qr/one page of several/ ],
	'object.json' => [ '{"a":1}', qr/is no export of DeviceInfo: an object without an array/ ],
	'tags.json' => [ '[{"DeviceId":"a","Timestamp":"2026-08-01","DeviceManualTags":"[1,"}]', qr/line 1: invalid input syntax for type json/ ],
	'no-id.json' => [ '[{"Timestamp":"2026-08-01"}]', qr/none of its rows has a member "DeviceId"/ ],
	'plain.csv.gz' => [ $good, qr/./, 'fine' ],
	'not-suffixed.csv' => [ "\x1f\x8b\x08\x00", qr/compressed by gzip, but its name does not end in \.gz/ ],
);
for my $name (sort keys %bad)
{
	my ($content, $message, $fine) = @{ $bad{$name} };
	next if $fine;
	fails_with($node, 'd', [ @import, write_file("$dir/$name", $content) ], 2, $message, "bad input: $name");
}
fails_with($node, 'd', [ @import, "$data/bad/$_->[0].json" ], 2, $_->[1], "bad input: $_->[0]")
  for
	[ 'graph-error', qr/is an error message, no export/ ],
	[ 'machines', qr/none of its rows has a member "DeviceId"|no rows|DeviceId/ ],
	[ 'DeviceInfo-scalar', qr/no export of devices|neither/ ],
	[ 'DeviceInfo-missing-DeviceId', qr/DeviceId/ ],
	[ 'DeviceInfo-future-Timestamp', qr/line \d+: Timestamp lies in the future/ ],
	[ 'DeviceInfo-bad-Timestamp', qr/line \d+: invalid input syntax for type timestamp/ ],
	[ 'DeviceInfo-bad-IsExcluded', qr/line \d+: invalid input syntax for type boolean: "maybe"/ ],
	[ 'DeviceInfo-mixed', qr/line \d+: DeviceId is missing \(and 3 rows more\)/ ];
fails_with($node, 'd', [ @import, "$dir/missing.csv" ], 2, qr/could not open ".*missing\.csv": No such file or directory/, 'a file that is not there');
fails_with($node, 'd', [ @import, $dir ], 2, qr/could not read ".*": Is a directory/, 'a directory');
fails_with($node, 'd', [ @import, "$dir/1.csv", "$dir/missing.csv" ], 2, qr/missing\.csv/, 'a second file that is not there');
fails_with($node, 'd', [ @import, "$dir/1.csv", "$dir/no-id.csv" ], 2, qr/no-id\.csv", line 3/, 'a bad row in the second file is named there');
fails_with($node, 'd', [ @import, '-' ], 2, qr/"standard input" is empty/, 'nothing on standard input');
write_file("$dir/cut.csv.gz", substr(slurp_file(gzip("$dir/plain.csv")), 0, 500));
fails_with($node, 'd', [ @import, "$dir/cut.csv.gz" ], 2, qr/could not read ".*cut\.csv\.gz": it is cut off/, 'gzip that is cut off');
my $damaged = slurp_file("$dir/plain.csv.gz");
substr($damaged, 200, 40) = 'x' x 40;
fails_with($node, 'd', [ @import, write_file("$dir/damaged.csv.gz", $damaged) ], 2, qr/it is damaged|not UTF-8|fields|NUL|cut off/, 'damaged gzip');
fails_with($node, 'd', [ 'import', 'devices', '--inventory', 'asset.device', '--tenant', 'Nobody', "$dir/1.csv" ], 2, qr/tenant "Nobody" does not exist/, 'unknown tenant');
fails_with($node, 'd', [ 'import', 'devices', '--tenant', $tenant, "$dir/1.csv" ], 2, qr/there are 3 inventories/, 'which inventory?');
$node->safe_psql('d', q{CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA asset TO reader; SELECT eiot.grant_access('reader', 'reader')});
fails_with($node, 'd', [ @import, '-U', 'reader', "$dir/1.csv" ], 3, qr/permission denied for table device/, 'a reader may not import');
$node->safe_psql('d', 'REVOKE TEMPORARY ON DATABASE d FROM PUBLIC');
fails_with($node, 'd', [ @import, '-U', 'reader', "$dir/1.csv" ], 3, qr/permission denied to create temporary tables/, 'nor without temporary tables');
$node->safe_psql('d', 'GRANT TEMPORARY ON DATABASE d TO PUBLIC');
fails_with($node, 'd', [ @import, "$dir/1.csv" ], 3, qr/read-only transaction/, 'a session that may only read',
	env => { PGOPTIONS => '-c default_transaction_read_only=on' });
is(state_of($node, 'd', 'asset.device', 'eiot.tenant', 'eiot.import_reject', 'eiot.device_import'), $before, 'nothing of all this has changed anything');

# A manager imports, row-level security and all.
$node->safe_psql('d', qq{CREATE ROLE manager LOGIN; GRANT USAGE ON SCHEMA asset TO manager; SELECT eiot.grant_access('manager', 'manager', '$tenant'); SELECT eiot.grant_inventory('asset.device', 'manager', 'manager')});
is(succeeds($node, 'd', [ @import, '-U', 'manager', "$dir/1.csv" ], 'a manager may'), "Fabrikam: 2 rows read, 2 devices, 2 stored, 0 rejected\n", 'and does');
fails_with($node, 'd', [ 'import', 'devices', '--inventory', 'asset.device', '--tenant', $proseware, '-U', 'manager', "$dir/1.csv" ], 2,
	qr/tenant "$proseware" does not exist/, 'not for the tenant of somebody else');
$before = state_of($node, 'd', 'asset.device');

# ---- a line without an end: bounded memory

SKIP:
{
	skip 'no prlimit', 1 if system('prlimit --version >/dev/null 2>&1') != 0;
	my $command = sprintf q{(printf 'Device ID,Last device update\n'; head -c 1G /dev/zero | tr '\0' a) 2>/dev/null | prlimit --as=300000000 eiot %s -},
	  join ' ', @import;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'd');
	like(`$command 2>&1`, qr/\Aeiot: "standard input", line 2: the row is longer than 8 MB; [^\n]+\n\z/, 'a line of 1 GB in 300 MB of memory');
}

# ---- rejects

my $mixed = write_file("$dir/mixed.csv",
	"Device ID,Last device update,Name\ngood 1,2026-08-01,a\n,2026-08-01,no id\nbad time,soon,b\nfew,2026-08-01\n=1+1,2126-01-01T00:00:00Z,\"the \"\"future\"\"\"\nlatin,2026-08-01,\xe9\ngood 2,2026-08-02,c\n");
my $second = write_file("$dir/second.json", qq([\n{"DeviceId":"good 3","Timestamp":"2026-08-01T00:00:00Z"},\n3,\n{"DeviceId":"bad","Timestamp":"2026-08-01T00:00:00Z","IsExcluded":"maybe"}]));
my $imports = $node->safe_psql('d', 'SELECT max(device_import_id) FROM eiot.device_import');
is(succeeds($node, 'd', [ @import, '--rejects', "$dir/rejects.csv", $mixed, $second ], 'bad rows among good ones'),
	"Fabrikam: 10 rows read, 3 devices, 3 stored, 7 rejected\n", 'the good ones are imported');
is($node->safe_psql('d', "SELECT inventory, tenant_id, imported_by = current_user, rows_read, devices, stored, rejected FROM eiot.device_import WHERE device_import_id > $imports"),
	"asset.device|$tenant|t|10|3|3|7", 'the import is kept, with the counts that the program tells');
$node->safe_psql('d', qq{CREATE TABLE reject (file text, line int, reason text, body text); COPY reject FROM '$dir/rejects.csv' (FORMAT csv, HEADER)});
is($node->safe_psql('d', q{SELECT format('%s:%s: %s', regexp_replace(file, '.*/', ''), line, reason) FROM reject ORDER BY file, line}), <<'END' =~ s/\n\z//r, 'each bad one with its line and reason');
mixed.csv:3: DeviceId is missing
mixed.csv:4: invalid input syntax for type timestamp with time zone: "soon"
mixed.csv:5: it has 2 fields, the header has 3
mixed.csv:6: Timestamp lies in the future
mixed.csv:7: a field is not UTF-8; convert the file, for instance with iconv -f WINDOWS-1252 -t UTF-8
second.json:3: it is a JSON number or word, not an object
second.json:4: invalid input syntax for type boolean: "maybe"
END
like($node->safe_psql('d', q{SELECT body FROM reject WHERE line = 6}), qr/\{"name": "the \\"future\\"".*"device_id": "=1\+1"/, 'with what it says');
is($node->safe_psql('d', q{SELECT string_agg(device_id, ',' ORDER BY device_id) FROM asset.device WHERE device_id LIKE 'good%'}), 'good 1,good 2,good 3', 'the good ones are there');
succeeds($node, 'd', [ @import, '-q', '--rejects', "$dir/rejects.csv", "$dir/1.csv" ], 'no bad rows');
is(slurp_file("$dir/rejects.csv"), "file,line,reason,row\n", 'the reject file is that of the last import');
$before = state_of($node, 'd', 'asset.device');
fails_with($node, 'd', [ @import, '--rejects', "$dir/rejects.csv", write_file("$dir/cut.json", '[{"DeviceId":"a","Timestamp":"2026-08-01"},') ], 2, qr/is cut off/,
	'a file that is cut off is refused all the same');
fails_with($node, 'd', [ @import, '--rejects', "$dir/no/such/folder", "$dir/1.csv" ], 2, qr/could not write/, 'a reject file that cannot be written');
SKIP:
{
	skip 'no /dev/full', 1 unless -c '/dev/full';
	fails_with($node, 'd', [ @import, '--rejects', '/dev/full', $mixed ], 3, qr/could not write/, 'nor one on a full disk');
}
is(slurp_file("$dir/rejects.csv"), "file,line,reason,row\n", 'the old reject file is still there');
is_deeply([ glob "$dir/*.part" ], [], 'and nothing beside it');
is(state_of($node, 'd', 'asset.device'), $before, 'nothing was imported');

$node->stop;
done_testing();
