/**
 * Compares the routes of the edges of two versions of a program. Callers, such as pages that a browser has open, know
 * the old ones: what they call must be there, read what they send, answer what they read, and let the same callers in.
 */
import { withArticle } from "../contract/declaration/contract.ts";
import { valueText } from "../data/value_text.ts";
import type { DescribedRoute, Description } from "./description.ts";
import type { Finding } from "./finding.ts";
import { refusals } from "./refusals.ts";

/** Returns what would break for the callers of edges if `after` were deployed in the place of `before`. */
export function compareRoutes(before: Description, after: Description): Finding[] {
  return Object.entries(before.routes ?? {}).flatMap(([name, all]) => {
    const now = after.routes !== undefined && Object.hasOwn(after.routes, name) ? after.routes[name] : [];
    return all.flatMap((was, index) => {
      // several edges may have a route of one name: what has the same contract belongs together
      const is = now.find(({ contract }) => contract === was.contract) ??
        (now.length === all.length ? now[index] : now[0]);
      return is === undefined ? [gone(name, was)] : compareRoute(name, was, is, after);
    });
  });
}

function compareRoute(name: string, was: DescribedRoute, is: DescribedRoute, after: Description): Finding[] {
  const about = `route ${name}`;
  if (was.kind !== is.kind) {
    return [{
      ...{ level: "break", kind: "route", about: name },
      message: `${about} is ${withArticle(is.kind)}, and was ${withArticle(was.kind)}: older pages call it in vain`,
      advice: "Give it a name of its own, and keep the old one until no older page is open.",
    }];
  }
  const found: Finding[] = [];
  const [roles, before] = [is.meta, was.meta].map((meta) =>
    meta === undefined ? "nothing" : valueText(meta, "canonical-json", "meta").text
  );
  if (roles !== before) {
    found.push({
      ...{ level: "break", kind: "route-meta", about: name },
      message: `${about}: its meta is ${roles}, and was ${before}: authorize lets other callers in`,
      advice: "If it is meant, the new contracts.json accepts it; until no older node is left, both count.",
    });
  }
  if (was.keyed && !is.keyed) {
    found.push({
      ...{ level: "break", kind: "route-key", about: name },
      message: `${about}: its key came from the caller, and does not: callers reach what belongs to others`,
      advice: "Leave it its option key.",
    });
  }
  const allowed = (what: string, names: readonly string[], left: Readonly<Record<string, unknown>>) => {
    for (const each of names.filter((each) => !Object.hasOwn(left, each))) {
      found.push({
        ...{ level: "break", kind: "route", about: name },
        message: `${about}: callers may no longer ${what}${each}`,
        advice: KEEP,
      });
    }
  };
  const { tell = {}, ask = {} } = is;
  allowed("cancel", was.cancel ? [""] : [], is.cancel ? { "": true } : {});
  allowed("tell ", Object.keys(was.tell ?? {}), tell);
  allowed("ask ", Object.keys(was.ask ?? {}), ask);
  for (const [known, { input }] of Object.entries(was.tell ?? {})) {
    if (!Object.hasOwn(tell, known)) continue;
    found.push(...refusals(`${about}.${known}`, "what older pages tell", tell[known].input, input, READ));
  }
  for (const [known, { input, output }] of Object.entries(was.ask ?? {})) {
    if (!Object.hasOwn(ask, known)) continue;
    found.push(...refusals(`${about}.${known}`, "what older pages ask", ask[known].input, input, READ));
    found.push(...written(`${about}.${known}`, "the new answer", output, ask[known].output, "answer"));
  }
  // a contract that the program handles, or a workflow, is compared itself
  const isCompared = was.contract === is.contract &&
    (is.kind === "workflow" || Object.hasOwn(after.contracts, is.contract) && after.contracts[is.contract].handled);
  if (is.kind === "event") found.push(...written(about, "the new events", was.input, is.input, "input"));
  else if (!isCompared) {
    found.push(...refusals(about, "what older pages send", is.input, was.input, READ));
    found.push(...written(about, "the new answer", was.output, is.output, "answer"));
    found.push(...written(about, "the new items", was.items, is.items, "items"));
  }
  return found;
}

/** Returns findings for what the new version writes and older pages do not expect, where both have a schema. */
function written(
  about: string,
  what: string,
  reader: DescribedRoute["output"],
  writer: DescribedRoute["output"],
  kind: string,
): Finding[] {
  if (writer === undefined || reader === undefined) return [];
  return refusals(about, `${what}, in older pages`, reader, writer, ANSWER, kind);
}

function gone(name: string, { kind, contract }: DescribedRoute): Finding {
  return {
    ...{ level: "break", kind: "route", about: name },
    message: `no edge has the route ${name} (${kind} ${contract}) any more: older pages get 404`,
    advice: KEEP,
  };
}

const KEEP = "Keep it until no older page is open.";
const READ = "Read both: make new members optional, or give them a default, until no older page is open.";
const ANSWER = "Write what older pages read, too, until none is open.";
