/** A category of a led subscription, and its messages that are open: how they are sent, and which of them wait. */
import type { AnyContract } from "../../contract/contract.ts";
import type { SendOptions } from "../../contract/send_options.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { runName } from "../format/names.ts";
import type { RunRequest } from "../format/run_request.ts";
import type { CategorySettings } from "./spec.ts";

/** What an attempt failed with. */
export interface RunError {
  readonly code: string;
  readonly message: string;
}

/** A category of a subscription. */
export class Category {
  readonly name: string;
  readonly attempts: number;
  readonly delay: readonly [first: number, longest: number];
  /** The internal command by which its messages are handed out. */
  readonly contract: AnyContract;
  /** Options of sends without a key. */
  readonly options: SendOptions;
  /** How long a send may take, in ms. */
  readonly timeout: number;
  /** Of each key in hand, the last message. */
  readonly keys: Map<string, OpenItem> = new Map();
  /** Messages that wait for a node that handles them. */
  readonly held: OpenItem[] = [];
  /** How many live nodes handle it. */
  capable = 0;
  /** Positions up to this one are not for it, or were read already. */
  floor: number;
  /**
   * Messages of these keys below these positions are done: a later one was already running when this leader began, and a leader
   * hands out none before those in front of it are done.
   */
  readonly doneBelow: Map<string, number> = new Map();

  constructor(
    subscription: { readonly service: string; readonly name: string },
    name: string,
    { attempts, delay, timeout }: CategorySettings,
    { floor, timeout: appTimeout }: { readonly floor: number; readonly timeout: number },
  ) {
    this.name = name;
    this.attempts = attempts;
    this.delay = delay;
    this.floor = floor;
    // the node that runs it ends it in its time; its answer needs some
    this.timeout = Math.min(MAX_TIMEOUT, (timeout ?? appTimeout) + MARGIN);
    this.contract = Object.freeze({
      kind: "command",
      name: runName(subscription.service, subscription.name, name),
      options: Object.freeze({}),
    });
    this.options = Object.freeze({ route: "least-loaded", timeout: this.timeout });
  }

  /** Whether a message is not to be handed out: it is not for this subscription, was read already, or is done. */
  passes({ position, key }: LoggedMessage): boolean {
    if (position <= this.floor) return true;
    const below = key === undefined || this.doneBelow.size === 0 ? undefined : this.doneBelow.get(key);
    return below !== undefined && position < below;
  }
}

/** A message in its leader's memory. */
export class OpenItem {
  readonly message: LoggedMessage;
  readonly category: Category;
  /** Attempts that have begun and count. */
  attempts: number;
  /** The last of them is under way, or about to be: it is written down. */
  running = false;
  /** An attempt was not counted, because its outcome went with its leader. */
  spared = false;
  /** It may have ended a process: its next attempt is written down before it begins. */
  doubt = false;
  /** It ran when the last leader ended, and is to run alone once. */
  suspect = false;
  /** How often in a row it was certainly not run. */
  refusals = 0;
  /** The id of the node that the next attempt goes to: one where it may be running still. */
  node: string | undefined = undefined;
  /** What an attempt that ended failed with. */
  error: RunError | undefined = undefined;
  /** When it failed first, by the monotonic clock. */
  failedAt: number | undefined = undefined;
  /** It is in the parking: neither in the list nor before others of its key. */
  readonly parked: boolean;
  /** What it takes in the log, in bytes; 0: unknown. */
  size = 0;
  /** Done, or parked since. */
  over = false;
  /** The next message of its key, which waits for this one. */
  behind: OpenItem | undefined = undefined;
  /** Neighbours in the list. */
  previous: OpenItem | undefined = undefined;
  next: OpenItem | undefined = undefined;
  listed = false;

  constructor(message: LoggedMessage, category: Category, attempts: number, parked = false) {
    this.message = message;
    this.category = category;
    this.attempts = attempts;
    this.parked = parked;
  }

  /** What its node gets. */
  request(token: number): RunRequest {
    const { position, id, key, payload, tagged, time, meta } = this.message;
    return [token, position, this.attempts, id, key ?? null, payload, tagged ? 1 : 0, time, meta ?? null];
  }

  /** How it is sent. */
  get options(): SendOptions {
    const { category: { options, timeout }, message: { key }, node } = this;
    if (key === undefined) return node === undefined ? options : { ...options, node };
    return node === undefined ? { route: "hash", key, timeout } : { route: "hash", key, timeout, node };
  }
}

const MARGIN = 2_000; // ms
const MAX_TIMEOUT = 2_147_483_647;
