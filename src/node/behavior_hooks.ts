/** What an app's behaviors have at it besides handlers and sends: they hear what happens, and of its end. */
import type { Catga } from "../contract/running_node.ts";
import type { Attachment, Behavior } from "../contract/behavior.ts";
import type { Observation, Observer } from "../contract/observer.ts";
import { isThenable } from "../contract/schema.ts";

/** The attachments of one app. */
export class BehaviorHooks {
  readonly #log: Observer;
  readonly #all: Attachment[] = [];

  /** `log` takes what goes wrong with them, and all that is observed. */
  constructor(log: Observer) {
    this.#log = log;
  }

  /** The app's observer. */
  readonly observe: Observer = (observation: Observation) => {
    this.#log(observation);
    for (const { observe } of this.#all) {
      this.#call("telling a behavior what happened", () => observe?.(observation));
    }
  };

  /** Has every behavior attach to the app, one after the other. */
  async attach(behaviors: Iterable<Behavior>, app: Catga): Promise<void> {
    for (const { attach } of behaviors) {
      const attachment = await attach?.(app);
      if (attachment) this.#all.push(attachment);
    }
  }

  /** The app has come to its end. */
  detach(): void {
    for (const { detach } of this.#all.splice(0)) {
      this.#call("detaching a behavior", () => detach?.());
    }
  }

  /** Logs what it throws, or rejects with: an `async` function fits the type, too. */
  #call(during: string, call: () => unknown): void {
    const failed = (error: unknown) => this.#log({ type: "fault", during, error });
    try {
      const called = call();
      if (isThenable(called)) Promise.resolve(called).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
