/**
 * Where the nodes keep their orders: one file that they all append to, in the place of a database. What `append` has
 * resolved for survives the death of the process.
 */
import { appendFile, readFile } from "node:fs/promises";
import type { Order } from "./orders.ts";

/** An order as it is kept. */
export interface Entry extends Order {
  /** The id of the message that it came with. */
  readonly messageId: string;
  /** The node that took it. */
  readonly node: string;
}

/** A file of orders. */
export class OrderBook {
  readonly #file: string;

  /** The file need not be there yet. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Writes an order down. */
  async append(entry: Entry): Promise<void> {
    // the line break comes first: what a killed process left half written must not spoil the entry after it
    await appendFile(this.#file, `\n${JSON.stringify(entry)}`);
  }

  /** The order of that id, when there is one. */
  async find(orderId: string): Promise<Entry | undefined> {
    return (await this.entries()).find((entry) => entry.orderId === orderId);
  }

  /** Everything that was written in full, in the order in which it was written. */
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
