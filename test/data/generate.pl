#!/usr/bin/env perl
#
# Writes the exports in this folder.
#
#     perl test/data/generate.pl OUTDIR
#
# Two runs give the same bytes: no clock, no randomness, no dependence on hash
# order.  What looks random is taken from a SHA-1 of the tenant and a counter.
# Every row is written with the reason it was made for, and what is expected
# is counted from these reasons, never computed from the columns.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha1 sha1_hex);
use File::Path qw(make_path);
use JSON::PP ();
use Time::Local qw(timegm);

@ARGV == 1 or die "usage: generate.pl OUTDIR\n";
my $outdir = shift;

# The instant that the exports are judged at.
my $AS_OF = timegm(0, 0, 0, 12, 7, 2026);    # 2026-08-12T00:00:00Z
my $DAY   = 86_400;

my $scalar_json = JSON::PP->new->utf8->allow_nonref->canonical;

# ---------------------------------------------------------------------------
# Files

my %written;

sub spew
{
	my ($name, $bytes) = @_;
	my $path = "$outdir/$name";
	(my $dir = $path) =~ s{/[^/]*\z}{};
	make_path($dir);
	open(my $fh, '>:raw', $path) or die "$path: $!\n";
	print {$fh} $bytes or die "$path: $!\n";
	close($fh) or die "$path: $!\n";
	die "$name written twice\n" if $written{$name}++;
	return;
}

# JSON with the members in the order given: an object is \[ key => value, ... ].
sub pretty
{
	my ($v, $indent) = @_;
	my $in = $indent . '  ';
	if (ref $v eq 'REF')
	{
		my @kv = @$$v;
		return '{}' if !@kv;
		my @out;
		while (@kv)
		{
			my ($k, $val) = splice(@kv, 0, 2);
			push @out, $in . $scalar_json->encode("$k") . ': ' . pretty($val, $in);
		}
		return "{\n" . join(",\n", @out) . "\n$indent}";
	}
	if (ref $v eq 'ARRAY')
	{
		return '[]' if !@$v;
		return "[\n" . join(",\n", map { $in . pretty($_, $in) } @$v) . "\n$indent]";
	}
	return $scalar_json->encode($v);
}

sub spew_pretty
{
	my ($name, $v) = @_;
	spew($name, pretty($v, '') . "\n");
	return;
}

# ---------------------------------------------------------------------------
# Licenses: bodies of Graph GET /subscribedSkus

my %SKU = (
	e5 => {
		id   => '06ebc4ee-1bb5-47dd-8120-11324bc54e06',
		part => 'SPE_E5',
		plans => [
			[ '99cd49a9-0e54-4e07-aea1-d8d9f5f704f5', 'Defender_for_Iot_Enterprise' ],
			[ '871d91ec-ec1a-452b-a83f-bd76c7d770ef', 'WINDEFATP' ],
		],
	},
	e5_security => {
		id    => '26124093-3d78-432b-b5dc-48bf992543d5',
		part  => 'IDENTITY_THREAT_PROTECTION',
		plans => [ [ '871d91ec-ec1a-452b-a83f-bd76c7d770ef', 'WINDEFATP' ] ],
	},
	p2 => {
		id    => '111046dd-295b-4d6d-9724-d52ac90bd1f2',
		part  => 'WIN_DEF_ATP',
		plans => [ [ '871d91ec-ec1a-452b-a83f-bd76c7d770ef', 'WINDEFATP' ] ],
	},
	addon => {
		id    => 'b2f91841-252f-4765-94c3-75802d7c0ddb',
		part  => 'PLACEHOLDER_EIOT_DEVICE_ADDON',
		plans => [],
	},
	unknown => {
		id    => 'c0a7050e-7e57-4000-8000-0000000000ff',
		part  => 'CONTOSO_UNKNOWN',
		plans => [ [ 'c0a7050e-7e57-4000-8000-0000000000fe', 'CONTOSO_UNKNOWN_PLAN' ] ],
	},
);

# One element of the body.  Units not named are 0; lockedOut => undef leaves the
# member out, as bodies from before 2023 do.
sub subscribed_sku
{
	my ($tenant, $key, $consumed, %arg) = @_;
	my $sku    = $SKU{$key};
	my $status = delete $arg{status} // 'Enabled';
	my %unit   = (enabled => 0, lockedOut => 0, suspended => 0, warning => 0, %arg);
	my @units;
	for my $state (qw(enabled lockedOut suspended warning))
	{
		push @units, $state => $unit{$state} if defined $unit{$state};
	}
	my $n = sprintf('%02x%02x', $tenant->{n}, hex substr($sku->{id}, 0, 2));
	return \[
		accountId        => $tenant->{id},
		accountName      => $tenant->{folder},
		appliesTo        => 'User',
		capabilityStatus => $status,
		consumedUnits    => $consumed,
		id               => "$tenant->{id}_$sku->{id}",
		prepaidUnits     => \[@units],
		servicePlans     => [
			map {
				\[
					servicePlanId      => $_->[0],
					servicePlanName    => $_->[1],
					provisioningStatus => 'Success',
					appliesTo          => 'User'
				]
			} @{ $sku->{plans} }
		],
		skuId           => $sku->{id},
		skuPartNumber   => $sku->{part},
		subscriptionIds => ["0c9d7a10-0000-4000-8000-00000000$n"],
	];
}

sub write_skus
{
	my ($name, @sku) = @_;
	spew_pretty(
		$name,
		\[
			'@odata.context' =>
			  'https://graph.microsoft.com/v1.0/$metadata#subscribedSkus',
			value => \@sku
		]);
	return;
}

# ---------------------------------------------------------------------------
# Devices: rows of the advanced hunting table DeviceInfo

my @COLUMN = qw(Timestamp DeviceId DeviceName OSPlatform OnboardingStatus
  DeviceCategory DeviceType DeviceSubtype Vendor Model MergedDeviceIds
  MergedToDeviceId IsTransient IsExcluded DeviceManualTags Site DiscoverySources
  MacAddress IPAddress);

# A query that projects less, as the two largest tenants run it.
my @FEWER = grep { !/^(?:OSPlatform|Site|DiscoverySources)$/ } @COLUMN;

my %BOOLEAN = map { $_ => 1 } qw(IsTransient IsExcluded);

# type, subtype, vendor, model, first half of the MAC address, name
# (%m: MAC in lower case, %M: in upper case, %h / %H: its second half, %n: a number)
my @IOT = (
	[ 'Printer', '', 'HP', 'LaserJet 400 M401dne', '3C:D9:2B', 'NPI%H' ],
	[ 'Printer', '', 'HP', 'Color LaserJet M553', '3C:D9:2B', 'NPI%H' ],
	[ 'Printer', 'Multifunction printer', 'Canon', 'iR-ADV C5535', '00:1E:8F', 'canon%h' ],
	[ 'Printer', 'Multifunction printer', 'Ricoh', 'MP C4504ex', '00:26:73', 'RNP%M' ],
	[ 'Printer', 'Label printer', 'Zebra', 'ZT411', '00:07:4D', 'zt411-%n' ],
	[ 'Printer', '', 'Brother', 'HL-L6400DW', '00:80:77', 'BRN%M' ],
	[ 'Printer', '', 'Lexmark', 'MS826de', '00:21:B7', 'ET%M' ],
	[ 'Camera', 'IP camera', 'Axis', 'P3245-LVE', '00:40:8C', 'axis-%m' ],
	[ 'Camera', 'IP camera', 'Axis', 'M3106-L', '00:40:8C', 'axis-%m' ],
	[ 'Camera', 'IP camera', 'Bosch', 'FLEXIDOME 5100i', '00:07:5F', 'cam-%n' ],
	[ 'Camera', 'IP camera', 'Hikvision', 'DS-2CD2143', 'C0:56:E3', 'cam-%n' ],
	[ 'Communication', 'VoIP phone', 'Cisco', 'CP-8845', '00:1E:F7', 'SEP%M' ],
	[ 'Communication', 'VoIP phone', 'Cisco', 'CP-7841', '00:1E:F7', 'SEP%M' ],
	[ 'Communication', 'VoIP phone', 'Yealink', 'SIP-T46U', '80:5E:C0', 'yl-%h' ],
	[ 'Communication', 'VoIP phone', 'Poly', 'VVX 450', '00:04:F2', 'poly%h' ],
	[ 'Audio and Video', 'Smart TV', 'LG', '55UH5F', '00:E0:91', 'lgtv-%n' ],
	[ 'Audio and Video', 'Smart TV', 'Samsung', 'QM55R', '00:16:32', 'signage-%n' ],
	[ 'Audio and Video', 'Video conference', 'Cisco', 'Room Kit', '00:1E:F7', 'room-%n' ],
	[ 'Audio and Video', 'Video conference', 'Poly', 'Studio X50', '00:04:F2', 'room-%n' ],
	[ 'Audio and Video', 'Speaker', 'Sonos', 'Era 100', '00:0E:58', 'sonos-%h' ],
	[ 'Audio and Video', '', 'Crestron', 'TSW-1070', '00:10:7F', 'panel-%n' ],
	[ 'Scanner', 'Barcode scanner', 'Zebra', 'MP7000', '00:07:4D', 'scan-%n' ],
	[ 'Smart Appliance', '', '', '', '00:07:4D', '' ],
);

my @NETWORK = (
	[ 'NetworkDevice', 'Router', 'Cisco', 'ISR4331', '00:1E:F7', 'rt-%n' ],
	[ 'NetworkDevice', 'Switch', 'Cisco', 'C9300-48P', '00:1E:F7', 'sw-%n' ],
	[ 'NetworkDevice', 'Switch', 'Juniper', 'EX2300-24T', '00:05:85', 'sw-%n' ],
	[ 'NetworkDevice', 'Wireless access point', 'Aruba', 'AP-515', '00:0B:86', 'ap-%n' ],
	[ 'NetworkDevice', 'Wireless access point', 'Ubiquiti', 'U6-LR', '24:A4:3C', 'ap-%n' ],
	[ 'NetworkDevice', 'Firewall', 'Fortinet', 'FortiGate 60F', '00:09:0F', 'fw-%n' ],
);

my @WORKSTATION = (
	[ 'Workstation', '', 'Dell', 'Latitude 7440', '00:14:22', 'ws-%n' ],
	[ 'Workstation', '', 'Lenovo', 'ThinkPad T14', '00:59:07', 'ws-%n' ],
);

my @SITE = ('', 'Zurich', 'Bern', '', 'Geneva');
my @TAGS = ('', '["floor-1"]', '', '["floor-2"]', '', '["floor-3","lobby"]', '', '');

sub timestamp
{
	my ($epoch, $fraction) = @_;
	my ($s, $m, $h, $d, $mon, $y) = gmtime($epoch);
	return sprintf('%04d-%02d-%02dT%02d:%02d:%02d%sZ',
		$y + 1900, $mon + 1, $d, $h, $m, $s, $fraction // '');
}

sub device_id
{
	my ($tenant, $n) = @_;
	return sha1_hex("$tenant->{folder}:$n");
}

# A plain device of the tenant: the n-th, seen in the week before $arg{until}.
sub device
{
	my ($tenant, $n, $models, $category, %arg) = @_;
	my @byte = unpack('C*', sha1("$tenant->{folder}/$n"));
	my ($type, $subtype, $vendor, $model, $oui, $name) =
	  @{ $models->[ $byte[0] % @$models ] };
	my $mac = sprintf('%s:%02X:%02X:%02X', $oui, $tenant->{n}, $n >> 8, $n & 255);

	(my $hex = $mac) =~ tr/://d;
	my %part = (
		m => lc $hex,
		M => $hex,
		h => lc substr($hex, 6),
		H => substr($hex, 6),
		n => sprintf('%04d', $n));
	$name =~ s/%([mMhHn])/$part{$1}/g;

	my $until    = delete $arg{until} // $AS_OF;
	my $back     = 60 + ($byte[1] << 16 | $byte[2] << 8 | $byte[3]) % (7 * $DAY - 60);
	my $fraction = ($byte[4] << 16 | $byte[5] << 8 | $byte[6]) % 10_000_000;
	my $status   = 'Unsupported';
	$status = 'Insufficient info' if $byte[7] % 16 == 0;
	$status = 'Can be onboarded'  if $byte[7] % 16 == 1;

	my %row = (
		Timestamp => timestamp(
			$until - $back,
			$byte[8] % 3
			? sprintf('.%07d', $fraction)
			: sprintf('.%03d', $fraction / 10_000)),
		DeviceId         => device_id($tenant, $n),
		DeviceName       => $name,
		OSPlatform       => '',
		OnboardingStatus => $status,
		DeviceCategory   => $category,
		DeviceType       => $type,
		DeviceSubtype    => $subtype,
		Vendor           => $vendor,
		Model            => $model,
		MergedDeviceIds  => '',
		MergedToDeviceId => '',
		IsTransient      => 0,
		IsExcluded       => 0,
		DeviceManualTags => $TAGS[ $byte[9] % @TAGS ],
		Site             => $SITE[ $byte[10] % @SITE ],
		DiscoverySources => $byte[11] % 4 ? 'MDE' : 'MDE, Network scan',
		MacAddress       => $mac,
		IPAddress        => sprintf('10.%d.%d.%d', $tenant->{n}, $n / 250, $n % 250 + 1),
		%arg,
	);
	return \%row;
}

sub iot     { my ($t, $n, %a) = @_; return device($t, $n, \@IOT, 'IoT', %a) }

sub network
{
	my ($t, $n, %a) = @_;
	return device($t, $n, \@NETWORK, $n % 3 ? 'Network device' : 'NetworkDevice', %a);
}

sub workstation
{
	my ($t, $n, %a) = @_;
	return device($t, $n, \@WORKSTATION, 'Endpoint',
		OSPlatform => 'Windows11', OnboardingStatus => 'Onboarded', %a);
}

sub row_json
{
	my ($row, $columns) = @_;
	my %known = map { $_ => 1 } @COLUMN;
	my @extra = sort grep { !$known{$_} } keys %$row;
	my @out;
	for my $column (@$columns, @extra)
	{
		next if !exists $row->{$column};
		my $v = $row->{$column};
		my $text = $BOOLEAN{$column} && !ref $v && $v =~ /^[01]$/
		  ? ($v ? 'true' : 'false')
		  : $scalar_json->encode($v);
		push @out, $scalar_json->encode($column) . ':' . $text;
	}
	return '{' . join(',', @out) . '}';
}

# shape: Results, value, or '' for a bare array
sub write_devices
{
	my ($name, $shape, $rows, $columns) = @_;
	my $list = join(",\n", map { row_json($_, $columns // \@COLUMN) } @$rows);
	$list = "\n$list\n" if @$rows;
	spew($name, $shape eq '' ? "[$list]\n" : qq({"$shape":[$list]}\n));
	return;
}

# ---------------------------------------------------------------------------
# Tenants

my @tenant;

sub tenant
{
	my ($folder) = @_;
	my $n = @tenant + 1;
	push @tenant,
	  {
		n      => $n,
		folder => $folder,
		name   => ucfirst $folder,
		id     => sprintf('5f2c0d6e-0000-4000-8000-%012d', $n),
	  };
	return $tenant[-1];
}

my @table;    # lines of the README's table

sub expect
{
	my ($t, $files, $shows, $devices, $counted, $capacity, $gap) = @_;
	my $computed = $counted > $capacity ? $counted - $capacity : 0;
	$computed == $gap or die "$t->{folder}: $counted/$capacity is not a gap of $gap\n";
	push @table,
	  sprintf('| %s | %s | %s | %s | %s | %s | %s |',
		$t->{folder}, $files, $shows, $devices, $counted, $capacity, $gap);
	return;
}

# 1. The worked example: 1204 devices, 240 user licenses.
{
	my $t = tenant('fabrikam');
	write_skus("fabrikam/subscribedSkus.json",
		subscribed_sku($t, 'e5', 231, enabled => 240));
	write_skus("fabrikam/subscribedSkus-plus-4.json",
		subscribed_sku($t, 'e5',    231, enabled => 240),
		subscribed_sku($t, 'addon', 0,   enabled => 4));
	write_skus("fabrikam/subscribedSkus-241.json",
		subscribed_sku($t, 'e5', 231, enabled => 241));

	my @row = map { $_ % 31 ? iot($t, $_) : workstation($t, $_) } 1 .. 1244;
	my $counted = grep { $_->{DeviceCategory} eq 'IoT' } @row;
	$counted == 1204 or die "fabrikam: $counted\n";
	write_devices('fabrikam/DeviceInfo.json', 'Results', \@row);

	expect($t, '`subscribedSkus.json`', 'the worked example: 1204 IoT devices and 40 managed workstations, 240 E5', 1244, 1204, 1200, 4);
	expect($t, '`subscribedSkus-plus-4.json`', 'the four add-on licenses bought', 1244, 1204, 1204, 0);
	expect($t, '`subscribedSkus-241.json`', 'or one more E5 instead', 1244, 1204, 1205, 0);
}

# 2. The older example: network devices counted as well, 473 + 1206 = 1679.
{
	my $t = tenant('contoso');
	write_skus('contoso/subscribedSkus.json',
		subscribed_sku($t, 'e5', 318, enabled => 320));

	# Seen up to 2026-08-10, so that the second body is newer throughout.
	my @until = (until => $AS_OF - $DAY);
	my @network = map { network($t, $_, @until) } 1 .. 473;
	my @iot     = map { iot($t, $_, @until) } 474 .. 1679;
	write_devices('contoso/DeviceInfo.json', 'Results', [ @network, @iot ], \@FEWER);

	my @managed = map {
		my ($n, $row) = ($_->{n}, $_->{row});
		+{  %$row,
			Timestamp        => timestamp($AS_OF - 3600 + $n, '.000'),
			OnboardingStatus => 'Onboarded',
		}
	} map { +{ n => $_, row => $_ < 200 ? $network[$_] : $iot[ $_ - 200 ] } } 0 .. 499;
	write_devices('contoso/DeviceInfo-managed.json', 'Results', \@managed, \@FEWER);

	expect($t, '`DeviceInfo.json`', '1206 IoT and 473 network devices, 320 E5', 1679, 1206, 1600, 0);
	expect($t, 'then `DeviceInfo-managed.json`', '500 of them (300 IoT, 200 network) onboarded later', 1679, 906, 1600, 0);
}

# 3. 500 user licenses cover 2500 devices, and not one more.
{
	my $t = tenant('northwind');
	write_skus('northwind/subscribedSkus.json',
		subscribed_sku($t, 'e5', 500, enabled => 500));
	write_devices('northwind/DeviceInfo.json', 'Results',
		[ map { iot($t, $_) } 1 .. 2500 ], \@FEWER);
	write_devices('northwind/DeviceInfo-one-more.json', 'Results',
		[ iot($t, 2501) ], \@FEWER);

	expect($t, '`DeviceInfo.json`', 'exactly covered: 500 E5', 2500, 2500, 2500, 0);
	expect($t, 'then `DeviceInfo-one-more.json`', 'one device more', 2501, 2501, 2500, 1);
}

# 4. Standalone licenses on top of Defender for Endpoint P2.
{
	my $t = tenant('wingtip');
	write_skus('wingtip/subscribedSkus.json',
		subscribed_sku($t, 'p2',    50, enabled => 50),
		subscribed_sku($t, 'addon', 1,  enabled => 100));
	write_devices('wingtip/DeviceInfo.json', '', [ map { iot($t, $_) } 1 .. 100 ]);

	expect($t, '', 'P2 (gives nothing) and 100 standalone licenses; a bare array', 100, 100, 100, 0);
}

# 5. Units in every state.
{
	my $t = tenant('litware');
	write_skus('litware/subscribedSkus.json',
		subscribed_sku($t, 'e5', 100, enabled => 300, warning => 300, suspended => 300, lockedOut => 10),
		subscribed_sku($t, 'e5_security', 6, enabled => 5),
		subscribed_sku($t, 'p2', 12, enabled => 20, lockedOut => undef),
		subscribed_sku($t, 'unknown', 3, enabled => 7));
	write_devices('litware/DeviceInfo.json', 'Results', [ map { iot($t, $_) } 1 .. 60 ]);

	expect($t, '', 'units enabled, in warning, suspended and locked out; 6 consumed of 5; no `lockedOut` member; an unknown SKU', 60, 60, 3025, 0);
}

# 6. Devices and no licenses.
{
	my $t = tenant('adatum');
	write_skus('adatum/subscribedSkus.json');
	write_devices('adatum/DeviceInfo.json', 'value', [ map { iot($t, $_) } 1 .. 25 ]);

	expect($t, '', 'no licenses at all; `{"value": …}`', 25, 25, 0, 25);
}

# 7. Licenses and no devices.
{
	my $t = tenant('tailspin');
	write_skus('tailspin/subscribedSkus.json',
		subscribed_sku($t, 'e5', 4, enabled => 10));
	write_devices('tailspin/DeviceInfo.json', 'Results', []);

	expect($t, '', 'no devices at all', 0, 0, 50, 0);
}

# 8. One row or more for every rule about what counts.
{
	my $t = tenant('proseware');
	write_skus('proseware/subscribedSkus.json',
		subscribed_sku($t, 'p2',    20, enabled => 25),
		subscribed_sku($t, 'addon', 0,  enabled => 5));

	my @ORDER = qw(not_iot managed inactive merged excluded transient not_a_device counted);
	my (@row, %devices);
	my $n = 0;

	# The next device, with the reason why it counts or does not.
	my $add = sub {
		my ($reason, %over) = @_;
		grep { $_ eq $reason } @ORDER or die "reason $reason\n";
		my $row = iot($t, ++$n, %over);
		$row->{DiscoverySources} = sprintf('[{"Source":"MDE","LastSeen":"%s"}]',
			substr($row->{Timestamp}, 0, 10));
		push @row, $row;
		$devices{$reason}++;
		return $row;
	};

	# A further row of a device that is in the body already: same device, so
	# the caller says which of the two reasons stands.
	my $again = sub {
		my ($row, %over) = @_;
		push @row, { %$row, %over };
		return;
	};

	my @none  = (DeviceType => '', DeviceSubtype => '', Vendor => '', Model => '');
	my @cutoff = (30 * 24 * 3600);
	my $seen  = sub { return (Timestamp => timestamp($AS_OF - $_[0], $_[1])) };
	my @old   = $seen->(45 * $DAY, '.1234567');

	# categories
	$add->('counted') for 1 .. 4;
	$add->('counted', DeviceCategory => 'iot') for 1 .. 3;
	$add->('counted', DeviceCategory => 'Unknown', DeviceType => 'Printer', DeviceSubtype => '', Vendor => 'HP', Model => '');
	$add->('counted', DeviceCategory => 'Unknown', DeviceType => 'printer', DeviceSubtype => '', Vendor => '', Model => '');
	$add->('not_iot', DeviceCategory => 'Unknown', @none) for 1 .. 2;
	$add->('not_iot', DeviceCategory => 'Unknown', @none, @old);
	my @pc = (DeviceType => 'Workstation', DeviceSubtype => '', Vendor => 'Dell', Model => 'OptiPlex 7010', OSPlatform => 'Windows11', DeviceName => 'pc-frontdesk');
	$add->('not_iot', DeviceCategory => 'Endpoint', @pc, OnboardingStatus => 'Onboarded');
	$add->('not_iot', DeviceCategory => 'Endpoint', @pc, OnboardingStatus => 'Can be onboarded');
	$add->('not_iot', DeviceCategory => 'Endpoint', @pc, @old);
	$add->('not_iot', DeviceCategory => 'Computers and Mobile', @pc, OnboardingStatus => 'onboarded');
	$add->('not_iot', DeviceCategory => 'Computers and Mobile', DeviceType => 'Mobile', DeviceSubtype => 'Smartphone', Vendor => 'Apple', Model => 'iPhone 15', OSPlatform => 'iOS');
	my @switch = (DeviceType => 'NetworkDevice', DeviceSubtype => 'Switch', Vendor => 'Cisco', Model => 'C9300-48P');
	my @router = (DeviceType => 'NetworkDevice', DeviceSubtype => 'Router', Vendor => 'Cisco', Model => 'ISR4331');
	$add->('not_iot', DeviceCategory => 'Network device', @switch) for 1 .. 2;
	$add->('not_iot', DeviceCategory => 'NetworkDevice', @router);
	$add->('not_iot', DeviceCategory => 'NetworkDevice', @router, IsExcluded => 1);
	$add->('not_iot', DeviceCategory => 'OT', DeviceType => 'PLC', DeviceSubtype => '', Vendor => 'Siemens', Model => 'S7-1200');
	$add->('not_iot', DeviceCategory => 'BMS', DeviceType => 'HVAC', DeviceSubtype => '', Vendor => 'Honeywell', Model => 'WEB-8000');
	$add->('not_iot', DeviceCategory => 'Medical', DeviceType => 'Medical', DeviceSubtype => '', Vendor => 'GE', Model => 'Carescape B650');

	# onboarding status, in the portal's spelling and in the API's
	$add->('counted', OnboardingStatus => $_)
	  for 'Can be onboarded', 'CanBeOnboarded', 'Unsupported', 'unsupported', 'Insufficient info', 'InsufficientInfo';
	$add->('managed', OnboardingStatus => 'Onboarded') for 1 .. 2;
	$add->('managed', OnboardingStatus => 'onboarded');
	$add->('managed', OnboardingStatus => 'Onboarded', @old);

	# last seen: strictly longer ago than 30 x 24 hours is inactive
	$add->('counted',  $seen->(@cutoff,         '.0000000'));
	$add->('counted',  $seen->($cutoff[0] - 1,  '.0000000'));
	$add->('inactive', $seen->($cutoff[0] + 1,  '.0000000'));
	$add->('inactive', @old);
	$add->('inactive', $seen->(200 * $DAY, '.000'));

	# merged: the device that was merged does not count, the one it went into does
	my $survivor = $add->('counted');
	my @merged = map { $add->('merged', MergedToDeviceId => $survivor->{DeviceId}) } 1 .. 2;
	$survivor->{MergedDeviceIds} = $merged[0]{DeviceId};
	$add->('merged',   MergedToDeviceId => $survivor->{DeviceId}, IsExcluded => 1);
	$add->('inactive', MergedToDeviceId => $survivor->{DeviceId}, @old);

	# excluded, transient
	$add->('excluded',  IsExcluded  => 1) for 1 .. 2;
	$add->('excluded',  IsExcluded  => 1, IsTransient => 1);
	$add->('transient', IsTransient => 1) for 1 .. 2;
	$add->('transient', IsTransient => 1, IPAddress => '8.8.4.4');

	# addresses
	$add->('counted', IPAddress => $_)
	  for '10.255.255.254', '172.16.0.9', '172.31.255.254', '192.168.178.20', '169.254.17.3', 'fe80::207:4dff:fe08:2a', 'fd12:3456:789a::2b';
	$add->('not_a_device', IPAddress => $_)
	  for '8.8.8.8', '172.32.0.1', '2001:4860:4860::8888', '224.0.0.251', '239.255.255.250', 'ff02::fb', '255.255.255.255';

	# the same device twice: the newest row stands, wherever it is in the body
	my $d = $add->('counted', $seen->(3600, '.5000000'));
	$again->($d, $seen->(2 * $DAY, '.5000000'), OnboardingStatus => 'Onboarded');
	$d = $add->('excluded', $seen->(9 * $DAY, '.250'));
	$again->($d, $seen->(8 * $DAY, '.250'), IsExcluded => 1);
	$d = $add->('counted', @old);
	$again->($d, $seen->(7200, '.0000001'), DeviceName => 'came-back');

	# names that need care, and columns that nobody has heard of
	$add->('counted', DeviceName => 'Kamera-Süd 2.OG');
	$add->('counted', DeviceName => q(O'Brien's "old" printer \\ copier));
	$add->('counted', DeviceName => '');
	$add->('counted',
		ColumnOfTomorrow => 'surprise',
		ConfidenceScore  => 0.5,
		NestedThing      => { depth => 1, list => [ 1, 2, 3 ] },
		ReportId         => 4711);

	write_devices('proseware/DeviceInfo.json', 'Results', \@row);
	spew('proseware/expected_reasons.csv',
		join('', "reason,devices\n", map { "$_,$devices{$_}\n" } @ORDER));

	my %id = map { $_->{DeviceId} => 1 } @row;
	keys(%id) == $n && @row == $n + 3 or die "proseware: rows\n";
	my $sum = 0;
	$sum += $_ for values %devices;
	$sum == $n or die "proseware: reasons\n";
	expect($t, '', "every rule about what counts, see `expected_reasons.csv`; 3 devices twice in the body", $n, $devices{counted}, 5, $devices{counted} - 5);
}

# ---------------------------------------------------------------------------
# Input that has to be refused

my @bad;    # file, what is wrong with it

{
	my $t = { n => 99, folder => 'bad', id => '5f2c0d6e-0000-4000-8000-000000000099' };

	my $bad_json = sub {
		my ($name, $wrong, $v) = @_;
		spew_pretty("bad/$name", $v);
		push @bad, [ $name, $wrong ];
		return;
	};
	my $bad_rows = sub {
		my ($name, $wrong, @row) = @_;
		write_devices("bad/$name", 'Results', \@row);
		push @bad, [ $name, $wrong ];
		return;
	};

	$bad_json->(
		'graph-error.json',
		'an error of Graph instead of a body',
		\[ error => \[ code => 'InvalidAuthenticationToken', message => 'Access token has expired.' ] ]);
	$bad_json->(
		'machines.json',
		'the body of another endpoint (Defender machines API): neither SKUs nor DeviceInfo rows',
		\[
			'@odata.context' => 'https://api.security.microsoft.com/api/$metadata#Machines',
			value => [
				\[
					id                 => device_id($t, 'machine'),
					computerDnsName    => undef,
					firstSeen          => '2026-06-02T07:14:51.1203341Z',
					lastSeen           => '2026-08-11T22:40:03.5510092Z',
					osPlatform         => 'Other',
					onboardingStatus   => 'Unsupported',
					version            => undef,
					lastIpAddress      => '10.20.30.41',
					lastExternalIpAddress => undef,
					healthStatus       => 'Active',
					rbacGroupId        => 0,
					rbacGroupName      => undef,
					riskScore          => 'None',
					exposureLevel      => 'Medium',
					deviceValue        => 'Normal',
					aadDeviceId        => undef,
					machineTags        => ['floor-3'],
					ipAddresses        => [
						\[
							ipAddress         => '10.20.30.41',
							macAddress        => '00074D112233',
							type              => 'Ethernet',
							operationalStatus => 'Up'
						]
					],
				]
			]
		]);

	my $bad_sku = sub {
		my ($what, $wrong, $sku) = @_;
		write_skus("bad/subscribedSkus-$what.json", $sku);
		push @bad, [ "subscribedSkus-$what.json", $wrong ];
		return;
	};
	my $without = sub {
		my ($sku, $member) = @_;
		my @kv = @$$sku;
		my @out;
		while (my ($k, $v) = splice(@kv, 0, 2))
		{
			push @out, $k, $v if $k ne $member;
		}
		return \[@out];
	};
	$bad_sku->('negative-units', '`enabled` is -5',
		subscribed_sku($t, 'e5', 1, enabled => -5));
	$bad_sku->('fractional-units', '`enabled` is 2.5',
		subscribed_sku($t, 'e5', 1, enabled => 2.5));
	$bad_sku->('missing-skuId', 'no `skuId`',
		$without->(subscribed_sku($t, 'e5', 1, enabled => 5), 'skuId'));
	$bad_sku->('missing-prepaidUnits', 'no `prepaidUnits`',
		$without->(subscribed_sku($t, 'e5', 1, enabled => 5), 'prepaidUnits'));

	my $broken = sub {
		my ($n, $how) = @_;
		my $row = iot($t, $n);
		if    ($how eq 'missing-DeviceId')  { delete $row->{DeviceId} }
		elsif ($how eq 'future-Timestamp')  { $row->{Timestamp}  = '2126-08-11T10:00:00.000Z' }
		elsif ($how eq 'bad-Timestamp')     { $row->{Timestamp}  = 'yesterday-ish' }
		elsif ($how eq 'bad-IsExcluded')    { $row->{IsExcluded} = 'maybe' }
		else                                { die "how $how\n" }
		return $row;
	};
	$bad_rows->('DeviceInfo-missing-DeviceId.json', 'no `DeviceId`', $broken->(1, 'missing-DeviceId'));
	$bad_rows->('DeviceInfo-future-Timestamp.json', '`Timestamp` in 2126', $broken->(2, 'future-Timestamp'));
	$bad_rows->('DeviceInfo-bad-Timestamp.json', '`Timestamp` is no timestamp', $broken->(3, 'bad-Timestamp'));
	$bad_rows->('DeviceInfo-bad-IsExcluded.json', '`IsExcluded` is "maybe"', $broken->(4, 'bad-IsExcluded'));
	spew('bad/DeviceInfo-scalar.json', "42\n");
	push @bad, [ 'DeviceInfo-scalar.json', 'the body is a number' ];
	$bad_rows->(
		'DeviceInfo-mixed.json',
		'rows 2, 4, 5 and 7 of 7 are bad, one in each of the ways above; rows 1, 3 and 6 are good',
		iot($t, 11),
		$broken->(12, 'missing-DeviceId'),
		iot($t, 13),
		$broken->(14, 'future-Timestamp'),
		$broken->(15, 'bad-Timestamp'),
		iot($t, 16),
		$broken->(17, 'bad-IsExcluded'));
}

# ---------------------------------------------------------------------------
# Tables about it all

spew('tenants.csv',
	join('', "tenant_id,name,folder\n", map { "$_->{id},$_->{name},$_->{folder}\n" } @tenant));

my $readme = <<'END';
# Small exports

Eight invented tenants. Each folder holds `subscribedSkus.json`, a body of Graph
`GET /subscribedSkus`, and `DeviceInfo.json`, rows of the Defender advanced hunting
table `DeviceInfo` with `MacAddress` and `IPAddress` joined from `DeviceNetworkInfo`.
`tenants.csv` has the tenant ids. All of it but `coverage_cases.csv`, the figures of
cases that others published, is written by

    perl test/data/generate.pl test/data

and a run into another folder gives the same bytes.

## Expected

As of 2026-08-12 00:00:00+00, under the rule in force then: only class `iot` counts;
a device last seen strictly longer than 30 times 24 hours ago is inactive; onboarding
status `Onboarded` means managed, and does not count; merged, excluded and transient
devices do not count, nor do public, multicast or broadcast addresses.

| tenant | file | what it shows | devices | counted | capacity | gap |
| --- | --- | --- | ---: | ---: | ---: | ---: |
%TABLE%

- `devices` are distinct device ids, `capacity` is in devices.
- contoso under the rule of 2023-09, when network devices counted: 1679 counted, gap 79;
  after `DeviceInfo-managed.json` 1179 counted, gap 0.
- litware: units in warning count, (300 + 300) x 5 + 5 x 5 = 3025. Where they are set not
  to count it is 300 x 5 + 5 x 5 = 1525.
- The part number of the Enterprise IoT add-on is not published: the one here is a placeholder.
- proseware: the reason in `expected_reasons.csv` is the first that applies, in the order
  of that file.

## Bad input

| file in `bad/` | what is wrong |
| --- | --- |
%BAD%
END
chomp(my $table = join("\n", @table));
chomp(my $bad = join("\n", map { "| `$_->[0]` | $_->[1] |" } @bad));
$table =~ s/\|  \|/| |/g;
$readme =~ s/%TABLE%/$table/;
$readme =~ s/%BAD%/$bad/;
utf8::encode($readme);
spew('README.md', $readme);
