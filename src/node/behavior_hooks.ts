/** The `attach` of an app's behaviors: what happens in the app is reported to what they return, until it is detached. */
import type { Catga } from "../contract/running_node.ts";
import type { Attachment, Behavior } from "../contract/behavior.ts";
import type { Observation, Observer } from "../contract/observer.ts";
import { isThenable } from "../contract/schema.ts";

/** The attached behaviors of one app. */
export class BehaviorHooks {
  readonly #log: Observer;
  readonly #attached: Attachment[] = [];

  /** `log` gets every observation, and a fault for each behavior that throws. */
  constructor(log: Observer) {
    this.#log = log;
  }

  /** Whether a behavior observes. What is not logged is observed only then. */
  get watched(): boolean {
    return this.#attached.some(({ observe }) => observe !== undefined);
  }

  /** The app's observer: to the log, then to each attached behavior. */
  readonly observe: Observer = (observation: Observation) => {
    this.#log(observation);
    for (const { observe } of this.#attached) {
      this.#call("telling a behavior what happened", () => observe?.(observation));
    }
  };

  /** Attaches every behavior to the app, one after the other. Rejects with what one of them throws. */
  async attach(behaviors: Iterable<Behavior>, app: Catga): Promise<void> {
    for (const { attach } of behaviors) {
      const attachment = await attach?.(app);
      if (attachment) this.#attached.push(attachment);
    }
  }

  /** Detaches all of them. Idempotent. */
  detach(): void {
    for (const { detach } of this.#attached.splice(0)) {
      this.#call("detaching a behavior", () => detach?.());
    }
  }

  /** Logs what it throws, and what it rejects with: the type accepts `async` functions. */
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
