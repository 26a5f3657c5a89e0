/** A node in this node's view: its record, and whether its process seems to be there. */
import type { NodeInfo } from "../../contract/node_info.ts";
import { freeze } from "./node_record.ts";
import type { HandledList } from "./handled_lists.ts";

/** One node as this node sees it. All times are those of the monotonic clock. */
export class Member {
  readonly info: NodeInfo;
  /** The contracts that it handles. */
  handled: HandledList;
  /** The revision of its record. */
  readonly revision: number;
  /** It has not answered lately: requests prefer other nodes. */
  suspect = false;
  /** When the first frame bounced since the node last showed that it is alive; -1 for none. */
  bouncedAt = -1;
  /** When a node on another server last reported that frames to it bounce there; -1 for never. */
  accusedAt = -1;
  /** How its record has gone, if it has: it stays in the view as long as it answers pings. */
  recordGone: "expire" | "vanish" | undefined;

  constructor(info: NodeInfo, revision: number, handled: HandledList) {
    // replicas write equal lists: all members share one
    const { names: handles, subscriptions, entities } = handled;
    const own = info.handles === handles && info.subscriptions === subscriptions && info.entities === entities;
    this.info = own ? info : freeze({
      ...info,
      handles,
      ...(subscriptions === undefined ? {} : { subscriptions }),
      ...(entities === undefined ? {} : { entities }),
    });
    this.handled = handled;
    this.revision = revision;
  }

  /** Earlier bounces no longer count. */
  clearBounces(): void {
    this.bouncedAt = this.accusedAt = -1;
  }
}
