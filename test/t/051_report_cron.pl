# Reports made by pg_cron: the line of docs/reports.md, in a server that has it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
plan skip_all => 'pg_cron is not available' unless -e "$sharedir/extension/pg_cron.control";

my $node = new_cluster('report_cron', "shared_preload_libraries = 'pg_cron'", "cron.database_name = 'postgres'", 'cron.use_background_workers = on');
$node->safe_psql('postgres', q{
SET client_min_messages = warning;
CREATE EXTENSION pg_cron;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
});
load_exports($node, 'postgres', 'asset.device');
$node->safe_psql('postgres', q{SELECT eiot.schedule_report('monthly', 'asset.device'), eiot.schedule_report('customers', 'asset.device', each_tenant => true)});

my ($line) = slurp_file("$top/docs/reports.md") =~ /^(SELECT cron\.schedule\(.*;)$/m;
ok($line, 'docs/reports.md has the line');
$node->safe_psql('postgres', $line);
is($node->safe_psql('postgres', q{SELECT schedule, command, active FROM cron.job}), '15 * * * *|SELECT eiot.run_reports()|t', 'which pg_cron takes');

# Nobody waits for a quarter past: the same job at the start of the server.
$node->safe_psql('postgres', q{UPDATE cron.job SET schedule = '@reboot'});
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 9 FROM eiot.report_run}), 'it makes the reports') or diag($node->safe_psql('postgres', 'TABLE cron.job_run_details'));
is($node->safe_psql('postgres', q{
		SELECT name, count(*), count(tenant_id), count(html), count(error), count(*) FILTER (WHERE html LIKE '<!DOCTYPE html>%</html>_')
		  FROM eiot.report_run GROUP BY name ORDER BY name}), "customers|8|8|8|0|8\nmonthly|1|0|1|0|1", 'of each tenant, and of all');
is($node->safe_psql('postgres', q{
		SELECT DISTINCT period = daterange((date_trunc('month', created_at) - interval '1 month')::date, date_trunc('month', created_at)::date) FROM eiot.report_run}), 't', 'about the last month');
ok($node->poll_query_until('postgres', q{SELECT bool_and(status = 'succeeded') FROM cron.job_run_details}), 'and succeeds');

# The next time nothing is due.
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 AND bool_and(status = 'succeeded') FROM cron.job_run_details}), 'it runs again');
is($node->safe_psql('postgres', 'SELECT count(*), max(attempts) FROM eiot.report_run'), '9|1', 'and makes nothing twice');

$node->stop;
done_testing();
