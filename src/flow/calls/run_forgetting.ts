/**
 * Forgets runs before their `keep` is over, for a person who has a right to have data erased: the run, and all runs
 * that its steps have started, first the innermost. Only ended runs are forgotten, because the messages of others are
 * still needed: by the run itself, and by a parent that waits for it. After an error the call can be repeated.
 */
import type { AnyWorkflow } from "../../contract/calls/flow.ts";
import { CatgaError } from "../../error.ts";
import type { RunLog } from "../stored/run_log.ts";
import { undecodedAt } from "../stored/run_message.ts";
import { keyOf, type RunRef } from "../stored/run_ref.ts";
import type { RunsNode } from "../runs_node.ts";
import { checkExistingRun, definitionOf } from "./run_arguments.ts";

/** Forgets a run and the runs that its steps have started; implements {@link Catga.forget}. */
export async function forgetRun(node: RunsNode, workflow: AnyWorkflow, run: string): Promise<void> {
  const { name } = definitionOf("forget", workflow);
  checkExistingRun(`forget ${name}: run`, run);
  const { log } = node;
  const over = node.callerTime();
  const patient = <T>(read: () => Promise<T>) => log.patient(read, over);
  const ref = { workflow: name, run };
  const parent = (await patient(() => readable(log.start(ref))))?.parent;
  if (parent !== undefined) {
    const above = await patient(() => log.lastFacts(parent));
    if (above !== undefined && !above.ended) throw notEnded(parent, `, which has started run ${run}: it waits for it`);
  }
  const all = (await patient(() => log.all(undefined))).map((each) => each.ref);
  const seen = new Set<string>();
  const forget = async (each: RunRef): Promise<void> => {
    if (seen.has(keyOf(each))) return;
    seen.add(keyOf(each));
    const facts = await patient(() => log.lastFacts(each));
    if (facts?.ended === false) throw notEnded(each, ": cancel it, and wait for its end");
    for (const child of await childrenOf(log, each, all, patient)) await forget(child);
    if (facts !== undefined) await patient(() => log.forget(each, facts.sequence));
  };
  await forget(ref);
}

/** Returns the stored runs that the steps of a run have started, in all of its lives. */
async function childrenOf(
  log: RunLog,
  ref: RunRef,
  all: readonly RunRef[],
  patient: <T>(read: () => Promise<T>) => Promise<T>,
): Promise<RunRef[]> {
  const journal = await patient(() => readable(log.load(ref)));
  const found: RunRef[] = [...journal?.children.values() ?? []].map(({ workflow, run }) => ({ workflow, run }));
  // the records of earlier lives are gone, and those of a run whose key was thrown away are unreadable: the id of a
  // child begins with those of its parent
  const begin = `${ref.workflow}:${ref.run}:`;
  for (const child of all.filter(({ run }) => run.startsWith(begin))) {
    const start = await patient(() => readable(log.start(child)));
    const isChild = start?.parent === undefined ? start === undefined : keyOf(start.parent) === keyOf(ref);
    if (isChild) found.push(child);
  }
  return found;
}

/** Resolves with `undefined` for what only nodes with another codec, or key, can read. */
async function readable<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (undecodedAt(error) === undefined) throw error;
    return undefined;
  }
}

function notEnded({ workflow, run }: RunRef, more: string): CatgaError {
  return new CatgaError("NOT_ENDED", `run ${run} of ${workflow} has not ended${more}`, { retryable: true });
}
