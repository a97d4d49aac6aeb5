import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { homes as anyHomes, journey, loggedObjects, policyObjects } from "../../../test/fakes/policy-arbitrary.ts";
import { expectedReceivers, tripOf, tripWorld } from "../../../test/fakes/policy-journey.ts";
import { simulateNodes } from "../../../test/fakes/policy-nodes.ts";
import { agrees, expectedSamples, readSample, type ToldOf } from "../../../test/fakes/policy-samples.ts";
import { policyView } from "../../../test/fakes/policy-view.ts";

describe("policy flows", () => {
  it("let pass what the evaluator allows, and nothing else", () => {
    let tripCount = 0;
    fc.assert(
      fc.property(
        policyObjects,
        anyHomes,
        fc.array(journey, { minLength: 1, maxLength: 60, size: "max" }),
        (objects, homes, journeys) => {
          const world = tripWorld(objects);
          const nodes = simulateNodes(policyView(objects, homes));
          for (const each of journeys) {
            const trip = tripOf(world, each);
            if (trip === undefined) continue;
            tripCount += 1;
            for (const node of nodes.switches.values()) node.conntrack.flush();
            expect({ trip: trip.packet, receivers: nodes.send(trip) }).toEqual({
              trip: trip.packet,
              receivers: expectedReceivers(world, trip),
            });
          }
        },
      ),
      { numRuns: 150 },
    );
    expect(tripCount).toBeGreaterThan(1_000);
  });

  it("tell of what log rules match, with the verdict, and of nothing else", () => {
    let sampleCount = 0;
    fc.assert(
      fc.property(
        loggedObjects,
        anyHomes,
        fc.array(journey, { minLength: 1, maxLength: 60, size: "max" }),
        (objects, homes, journeys) => {
          const world = tripWorld(objects);
          const nodes = simulateNodes(policyView(objects, homes));
          const ruleKeys = objects.rules.map(({ tenantName, id }) => `${tenantName}:${id}`);
          for (const each of journeys) {
            const trip = tripOf(world, each);
            if (trip?.destination === undefined || trip.packet.isLaterFragment) continue; // allowed ones are not told of
            for (const node of nodes.switches.values()) node.conntrack.flush();
            nodes.send(trip);
            const expected = expectedSamples(world, trip, homes);
            const actual = [...nodes.switches].flatMap(([name, node]) =>
              node.takeSamples().map((sample) => readSample(name, sample, ruleKeys)),
            );
            sampleCount += actual.length;
            const byNode = (told: ToldOf[]) => told.sort((left, right) => (left.node < right.node ? -1 : 1));
            const [wanted, found] = [byNode(expected), byNode(actual)];
            const differ = wanted.length !== found.length || wanted.some((one, index) => !agrees(one, found[index]));
            if (differ) expect({ trip: trip.packet, told: found }).toEqual({ trip: trip.packet, told: wanted });
          }
        },
      ),
      { numRuns: 150 },
    );
    expect(sampleCount).toBeGreaterThan(100);
  });
});
