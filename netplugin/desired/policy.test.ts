import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { homes as anyHomes, journey, policyObjects } from "../../test/fakes/policy-arbitrary.ts";
import { expectedReceivers, tripOf, tripWorld } from "../../test/fakes/policy-journey.ts";
import { simulateNodes } from "../../test/fakes/policy-nodes.ts";
import { policyView } from "../../test/fakes/policy-view.ts";

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
});
