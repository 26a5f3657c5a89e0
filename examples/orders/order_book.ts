/**
 * Stores the orders in one file to which all nodes append; a real service has a database instead. An order is on disk
 * before `append` resolves, so it survives the death of its process.
 */
import { appendFile, readFile } from "node:fs/promises";
import type { Order } from "./orders.ts";

/** A stored order. */
export interface Entry extends Order {
  /** Id of the message that created the order. */
  readonly messageId: string;
  /** Id of the node that handled the message. */
  readonly node: string;
}

/** A file of orders. */
export class OrderBook {
  readonly #file: string;

  /** `file`: its path; the first append creates it. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Stores an order. */
  async append(entry: Entry): Promise<void> {
    // the line break comes first, so that an entry that a killed process left half written does not damage the next one
    await appendFile(this.#file, `\n${JSON.stringify(entry)}`);
  }

  /** Returns the order with this id; `undefined`: there is none. */
  async find(orderId: string): Promise<Entry | undefined> {
    return (await this.entries()).find((entry) => entry.orderId === orderId);
  }

  /** Returns all complete entries, oldest first. */
  async entries(): Promise<Entry[]> {
    return (await this.#read()).split("\n").flatMap((line) => {
      try {
        return [JSON.parse(line) as Entry]; // nobody else writes to this file
      } catch {
        return []; // half an entry: its writer died before it acknowledged the order
      }
    });
  }

  async #read(): Promise<string> {
    try {
      return await readFile(this.#file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
      throw error;
    }
  }
}
