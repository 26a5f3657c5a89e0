/**
 * A test kit: clusters in memory, on virtual time, whose nodes can be killed, frozen and cut off, and a recorder of
 * the messages that they send, publish and handle. Works under any test runner, in Deno, Bun and Node.
 *
 * @example
 * ```ts
 * import { command, unwrap } from "@catga/catga";
 * import { testCluster } from "@catga/catga/testing";
 *
 * const Brew = command<{ tea: string }, string>("Brew");
 * const brew = Brew.handle(({ tea }, ctx) => `${tea} by ${ctx.node}`);
 *
 * await using cluster = await testCluster(3, { handlers: brew });
 * const [a] = cluster.apps;
 * cluster.kill("node-2");
 * for (let i = 0; i < 3; i++) console.log(unwrap(await a.send(Brew, { tea: "assam" }))); // assam by node-1, then …
 * await cluster.agreed(); // some seconds later, and at once
 * console.log(a.nodes().map(({ id }) => id)); // [ "node-1", "node-3" ]
 * ```
 *
 * @decides exports of the entrypoint `/testing`
 *
 * @module
 */

export { type TestCluster, testCluster } from "./test_cluster.ts";
export type { WaitingForLimit } from "./pace.ts";
export type { TestClusterOptions } from "./test_cluster_options.ts";
export { type Recorder, recorder } from "./recorder.ts";
export { MemoryNetwork } from "../memory/network.ts";
export type { Faults } from "../memory/faults.ts";
export { VirtualClock } from "../memory/virtual_clock.ts";
export type { Outages } from "../memory/faults.ts";
export type { Recorded } from "./recorder.ts";
export type { NextOptions, RecordType } from "./test_cluster_options.ts";
export { calledBy } from "./called_by.ts";
export { explore, type Explored } from "./explore.ts";
export { ExploreError } from "./explore_error.ts";
export type { Situation } from "./situations.ts";
export type {
  ExploreCheck,
  ExploreDeploy,
  ExploreFault,
  ExploreGroup,
  ExploreNodeOptions,
  ExploreOptions,
  ExploreOutcome,
  ProcessStart,
  Workload,
  WorkloadRandom,
} from "./explore_options.ts";
export { BrokenPromise, mayHaveHappened } from "./history.ts";
export type {
  HandlerAttempt,
  History,
  HistoryKind,
  HistoryLetter,
  HistoryMember,
  HistoryOperation,
  HistoryOutcome,
  HistorySpan,
  HistoryTerm,
  InjectedFault,
  LimitSlot,
  LockHold,
  NodeProcess,
  StoreTransaction,
  WorkflowStep,
} from "./history.ts";
export { type Guaranteed, guarantees } from "./guarantees.ts";
export type { EndedTransaction } from "../contract/nodes/attached_store.ts";
export type { Breach } from "./checkers/breach.ts";
export { checkDeliveries, type DeliveryHistory } from "./checkers/deliveries.ts";
export { type CheckedLimit, checkLimit, type LimitHistory } from "./checkers/limits.ts";
export {
  checkLinearizable,
  type LinearizableOptions,
  type Operation,
  register,
  type RegisterInput,
  type SequentialModel,
} from "./checkers/linearizable.ts";
export {
  type AwaySpan,
  checkLeadership,
  checkLocks,
  type FencedWrite,
  type LockHistory,
  type ObservedHold,
} from "./checkers/locks.ts";
export { type ContractInput, operationsOf, type OwnFailure } from "./checkers/operations.ts";
export { checkMessages, type MessageCheckOptions, type MessageObservation } from "./checkers/messages.ts";
export type { RequestKind } from "./checkers/allowed_results.ts";
export { checkRuns, type WorkflowHistory } from "./checkers/workflow_runs.ts";
