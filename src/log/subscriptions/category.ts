/** A category of a led subscription: how its messages are sent, and in which order they are. */
import type { AnyContract } from "../../contract/contract.ts";
import type { SendOptions } from "../../contract/send_options.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { runName } from "../format/names.ts";
import type { BatchSettings } from "../../contract/handler.ts";
import type { BatchRequest, RunRequest } from "../format/run_request.ts";
import type { Item, LedgerCategory, Line } from "./item.ts";
import type { CategorySettings } from "./spec.ts";

/** A category of a subscription. */
export class Category implements LedgerCategory {
  readonly name: string;
  readonly batch: BatchSettings | undefined;
  attempts: number;
  delay: readonly [first: number, longest: number];
  /** The internal command by which its messages are handed out. */
  readonly contract: AnyContract;
  /** Options of sends without a key. */
  readonly options: SendOptions;
  /** How long a send may take, in ms. */
  readonly timeout: number;
  readonly lines: Map<string, Line> = new Map();
  readonly held: Item[] = [];
  capable = 0;
  /** Positions up to this one are not for it, or were read already. */
  floor: number;

  constructor(
    subscription: { readonly service: string; readonly name: string },
    name: string,
    { attempts, delay, timeout, batch }: CategorySettings,
    { floor, timeout: appTimeout }: { readonly floor: number; readonly timeout: number },
  ) {
    this.name = name;
    this.attempts = attempts;
    this.delay = delay;
    this.batch = batch;
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

  /** Returns true if a message is not for this subscription, or was read already. */
  passes({ position }: LoggedMessage): boolean {
    return position <= this.floor;
  }

  /** Request to a message's node. */
  request({ message, attempts }: Item, token: number): RunRequest {
    const { position, id, key, payload, tagged, time, meta } = message;
    return [token, position, attempts + 1, id, key ?? null, payload, tagged ? 1 : 0, time, meta ?? null];
  }

  /** Request to the node of a batch. */
  batchRequest(items: readonly Item[], token: number): BatchRequest {
    return ["batch", ...items.map((item) => this.request(item, token))];
  }

  /** Options with which it is sent. */
  optionsOf({ key, node }: Item): SendOptions {
    const { options, timeout } = this;
    if (key === undefined) return node === undefined ? options : { ...options, node };
    return node === undefined ? { route: "hash", key, timeout } : { route: "hash", key, timeout, node };
  }
}

const MARGIN = 2_000; // ms
const MAX_TIMEOUT = 2_147_483_647;
