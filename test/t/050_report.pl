# Reports in a browser: nothing is loaded or refused, nothing from outside becomes markup, and the page fits from a phone
# to a desktop, in light and dark, and on paper.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } map { my $dir = $_; map { "$dir/$_" } qw(chromium chromium-browser google-chrome) } split /:/, $ENV{PATH};
plan skip_all => 'Chromium is not available' unless $chromium;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_cluster('report');
my $hostile = q{<script>document.title="x"</script><img src=x onerror="document.title='x'">"onload="x' <b>&amp; ]]></style></title>};

# ---- the pages

$node->safe_psql('postgres', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
});
load_exports($node, 'postgres', 'asset.device');
$node->safe_psql('postgres', q{
UPDATE asset.device SET first_seen = '2026-07-20'::timestamptz + hashtext(device_id) % 15 * interval '1 day';
INSERT INTO eiot.tenant (tenant_id, name)
SELECT ('e0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'A customer with quite a long name, number ' || n FROM generate_series(1, 1000) n;
INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen)
SELECT t.tenant_id, 'd' || i, 'IoT', timestamptz '2026-07-15' + i * interval '1 day', timestamptz '2026-08-12'
  FROM eiot.tenant t CROSS JOIN generate_series(1, 10) i WHERE t.tenant_id::text LIKE 'e0000000-%';
});
my %page;
sub page
{
	my ($name, $arguments) = @_;
	$page{$name} = $node->safe_psql('postgres', "SELECT eiot.report_html($arguments, period => '[2026-07-13,2026-08-13)')");
	write_file("$name.html", $page{$name});
	return;
}
page('thousand', q{'asset.device'});
page('one', q{'asset.device', '5f2c0d6e-0000-4000-8000-000000000001'});
$node->safe_psql('postgres', q{
DELETE FROM asset.device WHERE tenant_id::text LIKE 'e0000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'e0000000-%'});
page('some', q{'asset.device'});
$node->safe_psql('postgres', q{UPDATE eiot.tenant SET name = '} . $hostile =~ s/'/''/gr . q{' || name});
page('hostile', q{'asset.device'});
$node->safe_psql('postgres', q{SELECT eiot.create_inventory('asset.empty')});
page('empty', q{'asset.empty'});
$node->stop;

# ---- the browser

sub write_file
{
	my ($name, $text) = @_;
	open my $file, '>', "$dir/$name" or die "$dir/$name: $!";
	print $file $text;
	close $file or die "$dir/$name: $!";
	return;
}

# What it prints, and what it logs from the page.
my $profiles = 0;
sub browse
{
	my ($file, @options) = @_;
	my $profile = "$dir/profile" . $profiles++;
	local $ENV{HOME} = $profile;
	mkdir $profile;
	my $command = join ' ', map { "'$_'" } 'timeout', 120, $chromium, qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
	  --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage --enable-logging=stderr
	  --hide-scrollbars), "--user-data-dir=$profile/data", @options, "file://$dir/$file";
	my $out = qx{$command 2>'$dir/browser.log'};
	diag("$command ended with $?") if $?;
	return ($out, join '', grep { /CONSOLE/ } slurp_file("$dir/browser.log") =~ /^.*\n/mg);
}

# The same page within a page that looks at it: its own words are shut up by its policy, so nothing can run inside.
sub probe
{
	my ($name, $script, $width, @options) = @_;
	my $srcdoc = $page{$name} =~ s/&/&amp;/gr =~ s/"/&quot;/gr;
	write_file('probe.html', qq{<!DOCTYPE html><meta charset="utf-8"><title>probe</title><body><pre id="answer"></pre>
<iframe id="f" width="$width" height="900" style="border:0" srcdoc="$srcdoc"></iframe>
<script>
f.onload = () => { const d = f.contentDocument, w = f.contentWindow; let answer; try { answer = (() => { $script })(); } catch (e) { answer = 'failed: ' + e; }
                   document.body.textContent = ''; document.body.append('ANSWER[' + answer + ']'); };
</script></body>});
	my ($out) = browse('probe.html', '--dump-dom', '--window-size=1400,1000', @options);
	return $out =~ /<body>ANSWER\[(.*?)\]<\/body>/s ? $1 : "no answer: $out";
}

# Whether this browser says so when something is refused.
write_file('control.html', q{<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="default-src 'none'"><p style="color:red">x<script>1</script>});
my (undef, $control) = browse('control.html', '--dump-dom');
like($control, qr/Content.Security.Policy/i, 'the browser tells what a policy refuses');

for my $name (qw(thousand one some hostile empty))
{
	my ($dom, $console) = browse("$name.html", '--dump-dom');
	is($console, '', "$name: nothing on the console");
	like($dom, qr{</html>\s*$}, "$name: is read to its end");
	unlike($dom, qr/<(?:script|img|iframe|object|link|base|form|input|b)\b/i, "$name: no element that a report has not");
	like($dom, qr/<title>License coverage of IoT devices, 2026-07-13 to 2026-08-12<\/title>/, "$name: its title");
	is(probe($name, 'return d.querySelectorAll("*").length', 390), scalar(() = $page{$name} =~ /<[a-z]/g),
		"$name: as many elements as the page has tags");
	is(probe($name, 'return [320, 390, 768, 1280].map(width => { f.width = width;
			const over = [...d.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > w.innerWidth + 1 && !e.closest("svg"));
			return width + (d.documentElement.scrollWidth <= w.innerWidth ? "" : " takes " + d.documentElement.scrollWidth + ": "
				+ over.slice(0, 5).map(e => e.outerHTML.slice(0, 80).replace(/[<>]/g, "")).join(" ")); }).join(", ")', 320),
		'320, 390, 768, 1280', "$name: fits into these widths");
}

is(probe('hostile', 'return d.title + d.querySelectorAll("section.tenant h3 bdi")[0].textContent', 390),
	"License coverage of IoT devices, 2026-07-13 to 2026-08-12" . html($hostile) . 'Adatum', 'a hostile name is shown as it is');
is(probe('some', 'return w.getComputedStyle(d.querySelector("h1")).fontWeight + " " + w.getComputedStyle(d.querySelector("h1 em")).fontStyle', 1280),
	'650 normal', 'the style sheet is applied');

# What a browser prints of a text in a page.
sub html { my ($text) = @_; return $text =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr; }

# Contrast of each piece of text with the page, after WCAG 2: 4.5 is what small text needs.
my $contrast = q{
	const light = c => { const v = c.match(/[\d.]+/g).slice(0, 3).map(x => { x /= 255; return x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; });
	                     return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
	const ground = light(w.getComputedStyle(d.body).backgroundColor);
	let worst = 99, where = '', n = 0;
	for (const e of d.querySelectorAll('body *')) {
		if (e.closest('svg') || ![...e.childNodes].some(c => c.nodeType == 3 && c.data.trim())) continue;
		const c = light(w.getComputedStyle(e).color), r = (Math.max(c, ground) + .05) / (Math.min(c, ground) + .05);
		n++;
		if (r < worst) { worst = r; where = e.tagName + '.' + e.className; }
	}
	return (ground < .1 ? 'dark' : 'light') + ' ' + (n > 50 && worst >= 4.5 ? 'enough' : worst.toFixed(2) + ' at ' + where + ' of ' + n);
};
is(probe('some', $contrast, 1280, '--blink-settings=preferredColorScheme=1'), 'light enough', 'contrast in light');
is(probe('some', $contrast, 1280, '--blink-settings=preferredColorScheme=0'), 'dark enough', 'contrast in dark');

# ---- on paper

for my $name (qw(some thousand))
{
	my (undef, $console) = browse("$name.html", "--print-to-pdf=$dir/$name.pdf", '--no-pdf-header-footer');
	my $pdf = -e "$dir/$name.pdf" ? slurp_file("$dir/$name.pdf") : '';
	like($pdf, qr/^%PDF-/, "$name: is printed");
	# A4 in points
	my @boxes = $pdf =~ m{/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]};
	ok(@boxes && abs($boxes[0] - 595) < 1.5 && abs($boxes[1] - 842) < 1.5, "$name: on A4") or diag("@boxes");
	is($console, '', "$name: nothing on the console");
}

done_testing();
