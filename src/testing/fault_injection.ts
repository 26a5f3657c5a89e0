/** The faults of one run of `explore`: how each begins, and how it ends. */
import type { Catga } from "../../mod.ts";
import type { MemoryNetwork } from "../memory/network.ts";
import type { VirtualClock } from "../memory/virtual_clock.ts";
import type { ExploreFault } from "./explore_options.ts";
import type { PlannedFault } from "./explore_plan.ts";
import type { InjectedFault } from "./history.ts";
import type { HistoryRecorder } from "./history_recorder.ts";

/** A node as its faults see it. */
export interface FaultyNode {
  readonly id: string;
  readonly group: { readonly isClient: boolean };
  readonly app: Catga | undefined;
  isFrozen: boolean;
  isCut: boolean;
  /** True while the node is being started or drained. */
  readonly isChanging: boolean;
}

/** The run to which the faults belong. */
export interface FaultInjectionHost<Node extends FaultyNode> {
  readonly network: MemoryNetwork;
  readonly clock: VirtualClock;
  readonly recorder: HistoryRecorder;
  /** Longest additional delay of a message, in ms, whatever faults are under way. */
  readonly delay: number;
  /** Returns true after the end of the run: faults that end then restore nothing. */
  isOver(): boolean;
  kill(node: Node): void;
  /** Starts a killed node again. */
  restart(node: Node): void;
  /** Called when a fault begins, and when a frozen or cut-off node is itself again. */
  onFault(fault: ExploreFault | "thaw" | "restore", node: string | undefined): void;
}

/** The effect of a fault that can begin now. */
interface FaultEffect {
  /** Size of the fault, for the history. */
  readonly detail?: string;
  begin(): void;
  end(): void;
}

/** Begins and ends the faults of a run, and records them. */
export class FaultInjection<Node extends FaultyNode> {
  readonly #host: FaultInjectionHost<Node>;
  /** Chances of the random faults that are under way. */
  readonly #chances = new Map<PlannedFault, number>();
  /** Functions that end the faults under way, in the order in which the faults began. */
  readonly #ends = new Set<() => void>();
  #haveEnded = false;

  constructor(host: FaultInjectionHost<Node>) {
    this.#host = host;
  }

  /** True after {@link FaultInjection.endAll}. */
  get haveEnded(): boolean {
    return this.#haveEnded;
  }

  /** Begins a fault now, at `node` if it affects a node; does nothing if the node is not in a state for it. */
  begin(planned: PlannedFault, node: Node | undefined): void {
    if (node !== undefined && (node.app === undefined || node.isChanging)) return;
    const { fault, lasts, amount } = planned;
    if (fault === "lostTail") return this.#loseTail(amount, node);
    const effect = this.#effectOf(planned, node);
    if (effect === undefined) return;
    const span = this.#record(fault, node, effect.detail);
    effect.begin();
    const endOnce = () => {
      if (!this.#ends.delete(endOnce)) return;
      this.#host.recorder.end<InjectedFault>(span as never);
      if (!this.#host.isOver()) effect.end();
    };
    this.#ends.add(endOnce);
    this.#host.clock.after(lasts, endOnce);
  }

  /** Ends all faults under way; no further ones are to begin. */
  endAll(): void {
    this.#haveEnded = true;
    for (const end of [...this.#ends]) end();
    this.#host.network.heal();
  }

  /** Sets the chances of the network's random faults from the faults under way. */
  updateChances(): void {
    const { delay, network } = this.#host;
    const faults: Record<string, number> = delay > 0 ? { delay } : {};
    for (const [{ fault }, chance] of this.#chances) faults[fault] = Math.max(faults[fault] ?? 0, chance);
    network.faults = faults;
  }

  #record(fault: ExploreFault, node: Node | undefined, detail?: string): InjectedFault {
    const { recorder } = this.#host;
    this.#host.onFault(fault, node?.id);
    return recorder.begin<InjectedFault>(recorder.faults, { fault, node: node?.id, detail });
  }

  /** Returns the effect of a lasting fault; `undefined`: the fault cannot begin now. */
  #effectOf(planned: PlannedFault, node: Node | undefined): FaultEffect | undefined {
    const { fault, amount } = planned;
    switch (fault) {
      case "kill":
        return node && this.#killing(node);
      case "freeze":
        return node && this.#freezing(node);
      case "block":
        return node && this.#runsCode(node) ? this.#freezing(node) : undefined;
      case "cut":
        return node && this.#cutting(node);
      case "skew":
        return node && this.#skewing(node, amount);
      case "noLeader":
      case "noQuorum":
      case "full": {
        const { log } = this.#host.network;
        return { begin: () => log.begin(fault), end: () => log.end(fault) };
      }
    }
    return this.#random(planned);
  }

  /** Returns true if a handler or step runs in the process of a node: it may block the process. */
  #runsCode({ id }: Node): boolean {
    const { processes, attempts, steps } = this.#host.recorder;
    const process = processes.findLast(({ node }) => node === id)?.process;
    return [...attempts, ...steps].some((code) =>
      code.node === id && code.process === process && code.ended === undefined
    );
  }

  #killing(node: Node): FaultEffect | undefined {
    if (node.group.isClient) return undefined;
    return {
      begin: () => this.#host.kill(node),
      end: () => {
        if (node.app === undefined && !node.isChanging) this.#host.restart(node);
      },
    };
  }

  #freezing(node: Node): FaultEffect | undefined {
    if (node.isFrozen) return undefined;
    const { network } = this.#host;
    const { app } = node;
    return {
      begin: () => {
        node.isFrozen = true;
        network.pause(node.id);
      },
      end: () => {
        if (node.app !== app || !node.isFrozen) return;
        node.isFrozen = false;
        this.#host.onFault("thaw", node.id);
        network.resume(node.id);
      },
    };
  }

  #cutting(node: Node): FaultEffect | undefined {
    if (node.isCut) return undefined;
    const { network } = this.#host;
    const { app } = node;
    return {
      begin: () => {
        node.isCut = true;
        network.cut(node.id);
      },
      end: () => {
        if (node.app !== app || !node.isCut) return;
        node.isCut = false;
        this.#host.onFault("restore", node.id);
        network.restore(node.id);
      },
    };
  }

  #skewing(node: Node, ms: number): FaultEffect {
    const { network } = this.#host;
    const { app } = node;
    return {
      detail: `${ms} ms`,
      begin: () => network.skew(node.id, ms),
      end: () => node.app === app && network.skew(node.id, 0),
    };
  }

  /** Returns the effect of a fault that each message, or each call of the store, has with a chance. */
  #random(planned: PlannedFault): FaultEffect {
    return {
      detail: `chance ${planned.amount}`,
      begin: () => {
        this.#chances.set(planned, planned.amount);
        this.updateChances();
      },
      end: () => {
        this.#chances.delete(planned);
        this.updateChances();
      },
    };
  }

  #loseTail(count: number, node: Node | undefined): void {
    const lost = this.#host.network.log.loseTail(count);
    this.#host.recorder.end<InjectedFault>(this.#record("lostTail", node, `${lost} messages`) as never);
  }
}
