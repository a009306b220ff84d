# Many sessions take steps in the life of a few tenants' licenses, at each isolation level: what is held in the end is what
# the steps that succeeded add up to.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('lifecycle', 'max_connections = 30', 'fsync = off');
my $addon = 'b2f91841-252f-4765-94c3-75802d7c0ddb';

$node->safe_psql('postgres', qq{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA spec;
INSERT INTO eiot.tenant (tenant_id, name) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'Tenant ' || n FROM generate_series(1, 3) n;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
SELECT tenant_id, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 10, '[2020-01-01,)' FROM eiot.tenant;
CREATE TABLE spec.ledger (tenant_id uuid, step text, delta bigint);
CREATE TABLE spec.refused (step text, rule text);
-- One step at random, entered into the ledger as what whoever takes it thinks that it does.
CREATE FUNCTION spec.step() RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
  tenant CONSTANT uuid := '00000000-0000-4000-8000-00000000000' || 1 + floor(random() * 3)::integer;
  step text := (ARRAY['purchase', 'change', 'change', 'change', 'assign', 'end', 'trial', 'off', 'on', 'import'])[1 + floor(random() * 10)::integer];
  n bigint := 1 + floor(random() * 50);
  rule text;
  known record;
BEGIN
  SELECT entitlement_id AS id, units INTO known FROM eiot.entitlement
   WHERE tenant_id = tenant AND sku_id = '$addon' AND upper_inf(valid) ORDER BY random() LIMIT 1;
  IF known.id IS NULL AND step IN ('change', 'assign', 'end') THEN
    step := 'purchase';
  END IF;
  CASE step
    WHEN 'purchase' THEN
      PERFORM eiot.purchase(tenant, n, 'month', 1.20, 'EUR', clock_timestamp());
    WHEN 'change' THEN
      PERFORM eiot.change_units(known.id, n, clock_timestamp());
      n := n - known.units;
    WHEN 'assign' THEN
      PERFORM eiot.assign_units(known.id, 1, clock_timestamp());
      n := 0;
    WHEN 'end' THEN
      PERFORM eiot.change_units(known.id, 0, clock_timestamp());
      n := -known.units;
    WHEN 'trial' THEN
      PERFORM eiot.start_trial(tenant, clock_timestamp());
    WHEN 'off' THEN
      PERFORM eiot.turn_off(tenant, clock_timestamp());
      n := 0;
    WHEN 'on' THEN
      PERFORM eiot.turn_on(tenant, clock_timestamp());
      n := 0;
    WHEN 'import' THEN
      PERFORM eiot.import_subscribed_skus(tenant, jsonb_build_array(jsonb_build_object('skuId', '$addon',
                'prepaidUnits', jsonb_build_object('enabled', CASE WHEN known.id IS NULL THEN 0 ELSE n END))), clock_timestamp());
      n := 0;
  END CASE;
  INSERT INTO spec.ledger VALUES (tenant, step, n);
EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found THEN
  GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
  INSERT INTO spec.refused VALUES (step, rule);
END
\$\$;
});

for my $level ('read committed', 'repeatable read', 'serializable')
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM spec.ledger');
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . $level =~ s/ /\\ /r;
	$node->pgbench('--no-vacuum --client=8 --transactions=60 --max-tries=1000', 0, [qr{number of failed transactions: 0 }], [qr{^}], "steps at $level", { "020_step_" . $level =~ s/ /_/r => 'SELECT spec.step();' });
	delete local $ENV{PGOPTIONS};

	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM spec.ledger'), '>', $before + 20, "$level: many steps are taken");
	is($node->safe_psql('postgres', qq{
		SELECT t.name, l.units, h.units
		  FROM eiot.tenant t
		 CROSS JOIN LATERAL (SELECT COALESCE(sum(delta), 0) AS units FROM spec.ledger WHERE tenant_id = t.tenant_id) l
		 CROSS JOIN LATERAL (SELECT COALESCE(sum(units), 0) AS units FROM eiot.entitlement
		                      WHERE tenant_id = t.tenant_id AND sku_id = '$addon' AND source = 'lifecycle' AND upper_inf(valid)) h
		 WHERE l.units <> h.units}), '', "$level: what is held is what the steps add up to");
	is($node->safe_psql('postgres', qq{
		SELECT t.name, sum(h.units_after - h.units_before), l.units
		  FROM eiot.tenant t
		 CROSS JOIN LATERAL eiot.history(t.tenant_id) h
		  JOIN eiot.entitlement e ON e.entitlement_id = h.entitlement_id AND e.source = 'lifecycle'
		 CROSS JOIN LATERAL (SELECT COALESCE(sum(delta), 0) AS units FROM spec.ledger WHERE tenant_id = t.tenant_id) l
		 WHERE h.what IN ('purchased', 'units changed', 'ended')
		 GROUP BY t.name, l.units
		HAVING sum(h.units_after - h.units_before) <> l.units}), '', "$level: and what the story tells");
	is($node->safe_psql('postgres', q{
		SELECT t.name, eiot.capacity_at(t.tenant_id, now()), r.capacity
		  FROM eiot.tenant t
		 CROSS JOIN LATERAL (SELECT sum(e.units * s.devices_per_unit) AS capacity FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id)
		                      WHERE e.tenant_id = t.tenant_id AND e.valid @> now()) r
		 WHERE eiot.capacity_at(t.tenant_id, now()) <>
		       CASE WHEN EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id = t.tenant_id AND m.valid @> now()) THEN 0 ELSE r.capacity END}),
		'', "$level: capacity is what a recount gives");
	is($node->safe_psql('postgres', qq{
		SELECT e.entitlement_id FROM eiot.entitlement e JOIN eiot.monitoring_off m USING (tenant_id)
		 WHERE e.sku_id = '$addon' AND e.source = 'lifecycle' AND e.valid && m.valid}), '', "$level: monitoring is never off with standalone licenses bought here");
	is($node->safe_psql('postgres', qq{
		SELECT e.entitlement_id FROM eiot.entitlement e JOIN eiot.entitlement i USING (tenant_id, sku_id)
		 WHERE e.source = 'lifecycle' AND i.source = 'subscribedSkus' AND i.units > 0 AND e.valid && i.valid}), '', "$level: no import doubles what is kept here");
}
is($node->safe_psql('postgres', "SELECT DISTINCT rule FROM spec.refused WHERE rule IN ('order_of_time', 'off_without_standalone', 'trial_for_p2_alone') ORDER BY 1"),
	"off_without_standalone\norder_of_time\ntrial_for_p2_alone", 'some steps were refused');
cmp_ok($node->safe_psql('postgres', "SELECT count(DISTINCT step) FROM spec.ledger"), '>=', 5, 'steps of most kinds were taken');

$node->stop;
done_testing();
