/** The parts of a node that all parts of `Runs` share: its clock, the stream of its runs, and its workflows. */
import { type RunContracts, runContracts, runType } from "../contract/declaration/workflow.ts";
import type { WorkflowBody } from "../contract/declaration/workflow_body.ts";
import { openStream } from "../log/format/streams.ts";
import { afterOrAtEnd, type Clock, type ClockWithEnd, together } from "../ports/clock.ts";
import type { LogStream } from "../ports/event_log.ts";
import { openOnce } from "../ports/open_once.ts";
import { SharedTimer } from "../ports/shared_timer.ts";
import { RunLog } from "./stored/run_log.ts";
import type { RunsHost } from "./runs_host.ts";

/** The node that runs belong to. It opens the stream when it is first needed. */
export class RunsNode {
  readonly app: RunsHost;
  readonly endpoint: string;
  /**
   * The node's clock; once the stream is open, it shows the time of the NATS server, so that a schedule is due at the
   * same time on each node.
   */
  readonly clock: Clock;
  /** Calls `callback` in a later turn of the event loop, together with the callbacks of other runs. */
  readonly soon: (callback: () => void) => void;
  /** Timeouts of calls that a program awaits; they do not keep the process running. */
  readonly timers: SharedTimer;
  readonly log: RunLog;
  /** The workflows that this node handles, by name. */
  readonly bodies: ReadonlyMap<string, WorkflowBody>;
  readonly #contracts = new Map<string, RunContracts>();
  #stream: LogStream | undefined;
  #offDoubt: (() => void) | undefined;
  #numbers = 0;
  #isClosed = false;

  /** `onDoubt`: called when the store may have lost its last messages. */
  constructor(app: RunsHost, onDoubt: () => void) {
    const { endpoint, namespace } = app;
    this.app = app;
    this.endpoint = endpoint;
    const clock: ClockWithEnd = {
      now: () => this.#stream?.serverTime ?? app.clock.now(),
      monotonic: () => app.clock.monotonic(),
      after: (ms, callback, options) => app.clock.after(ms, callback, options),
      afterOrAtEnd: (ms, callback) => afterOrAtEnd(app.clock, ms, callback),
      soon: (callback) => app.clock.soon(callback),
    };
    this.clock = clock;
    this.soon = together(clock);
    this.timers = new SharedTimer(clock, { background: true });
    this.bodies = new Map(app.handled.map((body) => [body.definition.name, body]));
    const open = openOnce(async () => {
      const stream = await openStream(app, "entities");
      this.#offDoubt = stream.onDoubt(() => {
        this.log.doubt();
        onDoubt();
      });
      return this.#stream = stream;
    });
    this.log = new RunLog({
      ...{ namespace, endpoint, clock },
      stream: () => this.#stream ?? open(),
      // numbers of events of runs start at 2^51, so that they differ from the numbers of other entities' events
      number: (events) => FIRST_NUMBER + (this.#numbers += events) - events,
      maxPayload: () => app.maxPayload(),
    });
  }

  /** The latest time that the NATS server's clock may show now, in ms since 1970. */
  get latest(): number {
    return this.#stream?.latestServerTime ?? this.clock.now();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Begins to measure the app's timeout for a call. Returns a function that returns true once the timeout is over, or
   * the node is closed.
   */
  callerTime(): () => boolean {
    const due = this.clock.monotonic() + this.app.timeout;
    return () => this.#isClosed || this.clock.monotonic() > due;
  }

  /** Returns the internal contracts of a workflow. */
  contractsOf(workflow: string): RunContracts {
    let contracts = this.#contracts.get(workflow);
    if (contracts === undefined) this.#contracts.set(workflow, contracts = runContracts(runType(workflow)));
    return contracts;
  }

  /** Reports an error that no caller receives to the app's observers. */
  fault(during: string, error: unknown): void {
    this.app.observer({ type: "fault", during, error });
  }

  close(): void {
    this.#isClosed = true;
    this.#offDoubt?.();
  }
}

/** The first number of the events that this process stores for runs. */
const FIRST_NUMBER = 2 ** 51;
