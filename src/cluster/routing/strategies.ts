/**
 * The built-in routing strategies: functions that choose a node among the candidates. Each contract has an instance of
 * its strategy, so that round robin picks the nodes of one contract in turn, however many requests of other contracts
 * are sent.
 */
import type { NodeInfo, Route, RouteName, Strategy } from "../../contract/node_info.ts";
import type { Random } from "../../ports/clock.ts";
import { weight } from "../../data/rendezvous_hash.ts";

/** Functions that routing strategies use. */
export interface StrategyHost {
  readonly random: Random;
  /** Returns a number that stays the same for the sends of one turn of the event loop. */
  turn(): number;
  /** Returns the number of requests of this process without a result. */
  underWay(): number;
  /** Returns the number of requests under way at the node, as far as this process knows. */
  load(node: NodeInfo): number;
}

/** Returns the strategy that a route names, or the route itself if it is a function. */
export function strategyOf(route: Route, host: StrategyHost): Strategy {
  return typeof route === "function" ? route : BUILT_IN[route](host);
}

const BUILT_IN: Record<RouteName, (host: StrategyHost) => Strategy> = {
  "round-robin": roundRobin,
  "local-first": localFirst,
  "hash": hash,
  "least-loaded": leastLoaded,
  "random": random,
};

/**
 * Makes a strategy that picks the candidates in turn. Once more than 32 requests are sent within one turn of the event
 * loop, each candidate gets 32 successive requests at a time: in full frames a node sends 1.5 to 2 times as many
 * requests per second (docs/internals/measurements.md). While more than 32 requests for each candidate are under way,
 * each candidate gets 32 successive requests from the first request of a turn on, so that the requests that follow the
 * answers of one turn share a frame.
 */
function roundRobin({ random, turn, underWay }: StrategyHost): Strategy {
  let next = Math.floor(random() * 65_536); // random: many senders must not begin with the same node
  let current = -1;
  let sent = 0;
  let left = 0; // number of requests left in the present run
  return (candidates) => {
    const now = turn();
    if (now !== current) {
      current = now;
      sent = left = 0;
    }
    if (left > 0) left--;
    else {
      next = (next + 1) % 65_536;
      if (sent >= RUN_LENGTH || underWay() > RUN_LENGTH * candidates.length) left = RUN_LENGTH - 1;
    }
    sent++;
    return candidates[next % candidates.length];
  };
}

const RUN_LENGTH = 32;

/** Makes a strategy that picks this node if it is a candidate, else the next candidate in turn. */
function localFirst(host: StrategyHost): Strategy {
  const others = roundRobin(host);
  return (candidates, request) => candidates.find(({ id }) => id === request.self) ?? others(candidates, request);
}

/**
 * Makes a strategy that picks the candidate with the highest weight for the message's key (rendezvous hashing): when
 * one of n nodes joins or leaves, 1/n of the keys move.
 */
function hash(): Strategy {
  return (candidates, { key }) => {
    if (key === undefined) {
      throw new TypeError(`route "hash" needs a key: give the contract a key function, or the send a key`);
    }
    let best = candidates[0];
    let most = -1;
    for (const candidate of candidates) {
      const weighed = weight(key, candidate.id);
      if (weighed > most || (weighed === most && candidate.id < best.id)) {
        best = candidate;
        most = weighed;
      }
    }
    return best;
  };
}

/**
 * Makes a strategy that picks the less loaded of two random candidates (Mitzenmacher, The Power of Two Choices,
 * 2001).
 */
function leastLoaded({ random, load }: StrategyHost): Strategy {
  return (candidates) => {
    const first = Math.floor(random() * candidates.length);
    const second = (first + 1 + Math.floor(random() * (candidates.length - 1))) % candidates.length;
    return load(candidates[second]) < load(candidates[first]) ? candidates[second] : candidates[first];
  };
}

export function random({ random }: StrategyHost): Strategy {
  return (candidates) => candidates[Math.floor(random() * candidates.length)];
}
