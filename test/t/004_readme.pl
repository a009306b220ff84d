# README.md, docs/*.md and docs/guides/*.md say what happens: every ```sql block whose next block is a ```text block is run, in order, and
# must print that text.

use strict;
use warnings;

use Cwd;
use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = Cwd::abs_path("$FindBin::RealBin/../..");
my $dir = PostgreSQL::Test::Utils::tempdir();

# The pairs of a page: { line, sql, text }.
sub pairs
{
	my ($file) = @_;
	my (@blocks, $open);
	my $n = 0;
	for my $line (split /\n/, slurp_file($file))
	{
		$n++;
		if ($open && $line =~ /^\s*$open->{fence}\s*$/)
		{
			undef $open;
		}
		elsif ($open)
		{
			# the block may stand in a list
			$line =~ s/^\s{0,$open->{indent}}//;
			$open->{body} .= "$line\n";
		}
		elsif ($line =~ /^(\s*)(```+|~~~+)\s*(\S*)/)
		{
			$open = { line => $n, indent => length $1, fence => $2, language => $3, body => '' };
			push @blocks, $open;
		}
	}
	ok(!$open, "$file: every block ends") or diag("line $open->{line}");
	return map {
		{ line => $blocks[$_]{line}, sql => $blocks[$_]{body}, text => $blocks[ $_ + 1 ]{body} }
	  } grep { $blocks[$_]{language} eq 'sql' && $blocks[ $_ + 1 ]{language} eq 'text' } 0 .. $#blocks - 1;
}

# Blanks at the ends of lines, and empty lines at both ends, are not printed to be read.
sub trim
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/^\n+//;
	$text =~ s/\n+$//;
	return $text;
}

# What psql prints for each piece of SQL, in one session that starts in the tree, errors and notices in their places.
sub run_sql
{
	my ($node, $db, @sql) = @_;
	my $mark = '---- end of piece ' . int(rand(1e9));
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	open my $script, '>', "$dir/$db.sql" or die "$dir/$db.sql: $!";
	print $script "$_\n\\echo '$mark'\n" for @sql;
	close $script or die "$dir/$db.sql: $!";

	my $connection = $node->connstr($db);
	my $here = Cwd::getcwd();
	chdir $top or die "$top: $!";
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	# As pg_regress does it: standard input, so that no file and line stand before a message.  Nor does the context
	# after one, lines of functions that change.
	my $status = system("psql -X -v SHOW_CONTEXT=never -d \"$connection\" <'$dir/$db.sql' >'$dir/$db.out' 2>&1");
	chdir $here or die "$here: $!";
	is($status, 0, "$db: psql ends");
	my @printed = split /^\Q$mark\E\n/m, slurp_file("$dir/$db.out"), -1;
	is(scalar @printed, @sql + 1, "$db: every piece was run");
	return @printed;
}

sub check_page
{
	my ($node, $db, $name, $before, @pairs) = @_;
	my @printed = run_sql($node, $db, @$before, map { $_->{sql} } @pairs);
	splice @printed, 0, @$before;
	for my $i (0 .. $#pairs)
	{
		is(trim($printed[$i] // ''), trim($pairs[$i]{text}), "$name, line $pairs[$i]{line}");
	}
	return;
}

my $node = new_cluster('readme');
my @readme;
if (ok(-f "$top/README.md", 'README.md is there'))
{
	@readme = pairs("$top/README.md");
	cmp_ok(scalar @readme, '>=', 5, 'README.md has at least 5 pairs of SQL and its output');
	check_page($node, 'readme', 'README.md', [], @readme);
}

# Each page goes on where README.md ends.
for my $file (sort glob "$top/docs/*.md $top/docs/guides/*.md")
{
	my ($name) = $file =~ m{/docs/(.+)\.md$};
	my @pairs = pairs($file) or next;
	check_page($node, 'doc_' . $name =~ s/\W/_/gr, "docs/$name.md", [ map { $_->{sql} } @readme ], @pairs);
}

$node->stop;
done_testing();
