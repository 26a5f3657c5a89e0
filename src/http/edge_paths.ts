/** Where the paths of an edge lead: to an entry, its runs and their signals, and to what a method does there. */
import { MAX_ID } from "../contract/calls/send_options.ts";
import type { EdgeCall, EdgeRoute } from "./edge_types.ts";
import { deny, EdgeRefusal } from "./refusal.ts";
import { decodedPart } from "./request_url.ts";

/** The action that a request asks for. */
export type EdgeAction = EdgeCall["action"];

/** An entry of the edge, with the run, and the signal or question, that the path names after the entry's name. */
export interface RouteMatch {
  readonly route: EdgeRoute;
  readonly run: string | undefined;
  /** The name of a signal or a question. */
  readonly signal: string | undefined;
}

/**
 * The paths of an edge.
 * @decides where a path leads: entry, run, signal, question; which methods it has
 */
export class EdgePaths {
  readonly #base: string;
  readonly #routes: ReadonlyMap<string, EdgeRoute>;
  /** By path: the entry of the edge. */
  readonly #matches: ReadonlyMap<string, RouteMatch>;

  /** `base`: the path before the names of the entries. */
  constructor(base: string, routes: ReadonlyMap<string, EdgeRoute>) {
    this.#base = base;
    this.#routes = routes;
    const places = [...routes].map(([name, route]) =>
      [`${base}/${name}`, { route, run: undefined, signal: undefined }] as const
    );
    this.#matches = new Map(places);
  }

  /**
   * Returns the entry for a path, with the run and the signal that follow the entry's name. Throws a refusal if there
   * is none. Ids of runs may contain slashes, which proxies that rewrite paths, such as nginx, pass on decoded: so the
   * method decides if the last part is a signal.
   */
  match(method: string, pathname: string): RouteMatch {
    const listed = this.#matches.get(pathname);
    if (listed !== undefined) return listed;
    const base = this.#base;
    const parts = pathname.startsWith(`${base}/`) ? pathname.slice(base.length + 1).split("/") : [];
    const [name = "", ...more] = parts.map(decodedPart);
    const route = this.#routes.get(name);
    if (route === undefined) throw NOT_FOUND;
    if (more.length === 0) return { route, run: undefined, signal: undefined };
    const signal = method === "POST" && more.length > 1 ? more.pop() : undefined;
    const run = more.join("/");
    if (route.kind !== "workflow" || run === "" || run.length > MAX_ID) throw NOT_FOUND;
    return { route, run, signal };
  }
}

/** Returns what a request with this method on this path does. Throws a refusal if the path does not have the method. */
export function actionOf(method: string, { route, run, signal }: RouteMatch): EdgeAction {
  const actions = actionsOf(route, run, signal);
  const action = actions.get(method);
  if (action !== undefined) return action;
  const allow = [...actions.keys()].join(", ").replace("GET", "GET, HEAD");
  throw new EdgeRefusal(405, "METHOD_NOT_ALLOWED", `the method must be ${allow}`, { allow });
}

/** Returns what requests on a path can do, by method. Throws a refusal for a name that the entry does not list. */
function actionsOf(
  { kind, options }: EdgeRoute,
  run: string | undefined,
  signal: string | undefined,
): ReadonlyMap<string, EdgeAction> {
  if (run === undefined) return ACTIONS[kind];
  if (signal === undefined) return options.cancel ? CANCELLABLE_RUN_ACTIONS : RUN_ACTIONS;
  if (Object.hasOwn(options.ask ?? {}, signal)) return QUESTION_ACTIONS;
  if (!Object.hasOwn(options.tell ?? {}, signal)) throw NOT_FOUND;
  return SIGNAL_ACTIONS;
}

/** By kind of entry and by HTTP method: the action of a request on a path without a run. */
const ACTIONS: Readonly<Record<EdgeRoute["kind"], ReadonlyMap<string, EdgeAction>>> = {
  command: new Map([["POST", "send"]]),
  query: new Map([["GET", "read"], ["POST", "send"]]),
  stream: new Map([["GET", "read"]]),
  event: new Map([["GET", "follow"]]),
  workflow: new Map([["POST", "start"]]),
};
const RUN_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["GET", "result"]]);
const CANCELLABLE_RUN_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["GET", "result"], ["DELETE", "cancel"]]);
const QUESTION_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["POST", "ask"]]);
const SIGNAL_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["POST", "tell"]]);
const NOT_FOUND = deny(404);
