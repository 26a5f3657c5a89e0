/**
 * A simulation of deploys, from a seed: nodes of several versions start and stop, while requests and stored messages of
 * several versions are sent. Leaving out any of the rules must break a promise.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { seededRandom } from "../../memory/seeded_random.ts";
import {
  afterRefusedMessage,
  afterRefusedRequest,
  mayBeReadNow,
  ownShapeFirst,
  type ShapedNode,
  shapeName,
  untriedNodes,
} from "./shape_rules.ts";

const RULES = { afterRefusedMessage, afterRefusedRequest, mayBeReadNow, ownShapeFirst, shapeName, untriedNodes };
type Rules = typeof RULES;

/** A node in the simulation. Its version decides which messages it accepts; its `shape` may be unknown to others. */
interface Node extends ShapedNode {
  readonly version: number;
}

interface Message {
  /** Version of the node that has written the message. */
  readonly writer: number;
  /** Versions whose schema accepts the message; none for a message that no version accepts. */
  readonly takenBy: ReadonlySet<number>;
  readonly refusedBy: Set<string>;
  state: "open" | "waits" | "handled" | "dead letter";
  /** Versions that have refused the message, whatever is known of their shapes. */
  readonly refusals: Set<number>;
}

const VERSIONS = 3;

/** Simulates deploys for one seed, with these rules; returns the promises that were broken. */
function simulate(seed: number, rules: Rules): ReadonlySet<string> {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const broken = new Set<string>();
  let made = 0;
  const nodes: Node[] = [];
  const join = () => {
    const version = below(VERSIONS);
    nodes.push({ id: `n${made++}`, version, shape: random() < 0.15 ? undefined : `shape-${version}` });
  };
  join();
  join();
  const messages: Message[] = [];
  const takenBy = (writer: number) => {
    if (random() < 0.2) return new Set<number>(); // accepted by no version
    return new Set([writer, ...(random() < 0.4 ? [below(VERSIONS)] : [])]);
  };

  const request = () => {
    const writer = below(VERSIONS);
    const accepted = takenBy(writer);
    const refusedBy = new Set<string>();
    const mayHaveRun = random() < 0.2;
    let attempts = 0;
    for (let left = rules.ownShapeFirst(nodes, `shape-${writer}`); left.length > 0;) {
      const node = left[below(left.length)];
      if (attempts++ > nodes.length) return broken.add("a request goes to a shape again");
      if (accepted.has(node.version)) {
        // the sender may refuse another version's answer; only its own version's answer certainly fits
        if (node.version !== writer && nodes.some(({ shape }) => shape === `shape-${writer}`)) {
          if (accepted.has(writer)) broken.add("an answer of another version, though one of the own was there");
        }
        return;
      }
      refusedBy.add(rules.shapeName(node));
      const untried = rules.untriedNodes(nodes, refusedBy);
      const next = rules.afterRefusedRequest(untried, { mayHaveRun });
      if (next === "next") {
        left = untried;
        continue;
      }
      if (nodes.some(({ version }) => accepted.has(version))) broken.add("a request fails that a node takes");
      if (mayHaveRun && next !== "unknown") broken.add("a request that may have run is said to be invalid");
      return;
    }
  };

  const deliver = (message: Message) => {
    let attempts = 0;
    while (message.state === "open") {
      const untried = rules.untriedNodes(nodes, message.refusedBy);
      const from = untried.length > 0 ? untried : nodes;
      if (from.length === 0) return;
      const node = from[below(from.length)];
      if (attempts++ > nodes.length) return broken.add("a message goes to a shape again");
      if (message.takenBy.has(node.version)) {
        message.state = "handled";
        return;
      }
      message.refusedBy.add(rules.shapeName(node));
      message.refusals.add(node.version);
      const after = rules.afterRefusedMessage(nodes, message.refusedBy, `shape-${message.writer}`);
      if (after === "next") continue;
      if (nodes.some(({ version }) => message.takenBy.has(version))) broken.add("a message stops that a node takes");
      if (after === "dead letter" && message.takenBy.has(message.writer)) {
        broken.add("a message dies that its writer takes");
      }
      if (after === "waits" && nodes.some(({ shape }) => shape === `shape-${message.writer}`)) {
        broken.add("poison waits though its writer's version refuses it");
      }
      message.state = after;
    }
  };

  const woken = () => {
    for (const message of messages) {
      if (message.state !== "waits") continue;
      if (rules.mayBeReadNow(nodes, message.refusedBy)) {
        message.state = "open";
        deliver(message);
      } else if (nodes.some(({ version }) => message.takenBy.has(version))) {
        broken.add("a message waits that a node takes");
      }
    }
  };

  for (let step = 0; step < 60; step++) {
    const drawn = random();
    if (drawn < 0.15) join();
    else if (drawn < 0.28 && nodes.length > 1) nodes.splice(below(nodes.length), 1);
    else if (drawn < 0.6) request();
    else {
      const writer = below(VERSIONS);
      const message: Message = {
        ...{ writer, takenBy: takenBy(writer), state: "open" },
        ...{ refusedBy: new Set(), refusals: new Set() },
      };
      messages.push(message);
      deliver(message);
    }
    woken();
  }
  return broken;
}

function sweep(seeds: number, rules: Rules = RULES): ReadonlySet<string> {
  const broken = new Set<string>();
  for (let seed = 0; seed < seeds; seed++) for (const each of simulate(seed, rules)) broken.add(each);
  return broken;
}

describe("deploys beside each other, in a simulation", () => {
  it("no promise is broken in 1,000 seeds", () => {
    assertEquals([...sweep(1_000)], []);
  });

  const left: Record<string, readonly [leftOut: Partial<Rules>, breaks: string]> = {
    "nodes of the own shape first": [
      { ownShapeFirst: (nodes) => nodes },
      "an answer of another version, though one of the own was there",
    ],
    "a refused request goes to other shapes": [
      { afterRefusedRequest: (_, { mayHaveRun }) => mayHaveRun ? "unknown" : "invalid" },
      "a request fails that a node takes",
    ],
    "a request that may have run is OUTCOME_UNKNOWN": [
      { afterRefusedRequest: (untried) => untried.length > 0 ? "next" : "invalid" },
      "a request that may have run is said to be invalid",
    ],
    "each shape is tried once": [{ untriedNodes: (nodes) => nodes }, "a request goes to a shape again"],
    "a node of unknown shape is a shape of its own": [
      { shapeName: ({ shape }) => shape ?? "?", untriedNodes: leaveOut(({ shape }) => shape ?? "?") },
      "a request fails that a node takes",
    ],
    "a refused message goes to other shapes": [
      {
        afterRefusedMessage: (_, refusedBy, writer) =>
          writer === undefined || refusedBy.has(writer) ? "dead letter" : "waits",
      },
      "a message stops that a node takes",
    ],
    "a message whose writer's shape is away waits": [
      { afterRefusedMessage: (...[nodes, refusedBy]) => afterRefusedMessage(nodes, refusedBy, undefined) },
      "a message dies that its writer takes",
    ],
    "poison is a dead letter": [
      { afterRefusedMessage: (nodes, refusedBy) => afterRefusedMessage(nodes, refusedBy, "?") },
      "poison waits though its writer's version refuses it",
    ],
    "a new shape wakes what waits": [{ mayBeReadNow: () => false }, "a message waits that a node takes"],
  };
  for (const [rule, [leftOut, breaks]] of Object.entries(left)) {
    it(`left out, a rule is missed: ${rule}`, () => {
      assert(sweep(200, { ...RULES, ...leftOut }).has(breaks));
    });
  }
});

function leaveOut(nameOf: (node: ShapedNode) => string): Rules["untriedNodes"] {
  return (nodes, refusedBy) => nodes.filter((node) => !refusedBy.has(nameOf(node)));
}
