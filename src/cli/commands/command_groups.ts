/** The groups in which `catga --help` lists the commands, and an example of each command. */

/** A group of commands: what they are for, and by the name of each command an example of its use. */
export interface CommandGroup {
  readonly title: string;
  readonly examples: Readonly<Record<string, string>>;
}

/** All groups, in the order in which they are listed. Each command of the tool is in one of them. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  {
    title: "Look at a cluster",
    examples: {
      doctor: "catga doctor --nats nats://nats.internal:4222",
      top: "catga top --once",
      nodes: "catga nodes --watch",
      ping: "catga ping orders-1",
      watch: "catga watch 'orders.*'",
      dashboard: "catga dashboard --allow-changes",
    },
  },
  {
    title: "Read",
    examples: { docs: "catga docs alarms#no-node" },
  },
  {
    title: "Send",
    examples: {
      call: `catga call orders.Create '{"sku":"tea"}' --timeout 2s`,
      bench: "catga bench --payload 1000",
    },
  },
  {
    title: "Messages, runs and entities that are stored",
    examples: {
      subscriptions: "catga subscriptions",
      limits: "catga limits pause bank --key acme --for 10m",
      dead: "catga dead replay --code TIMEOUT --yes",
      outbox: "catga outbox store.ts retry --contract Booked --yes",
      rewind: "catga rewind mails 24h",
      schedules: "catga schedules cancel Remind r-7",
      runs: "catga runs Order --status stuck",
      run: "catga run Order 7 retry charge",
      entity: "catga entity Cart 7",
      locks: "catga locks --kind lock",
    },
  },
  {
    title: "The file of a program",
    examples: {
      backup: "catga backup /backups/shop.db --file shop.db",
      file: "catga file check --file shop.db",
      move: "catga move shop.db nats://localhost:4222",
      pull: "catga pull nats://localhost:4222 copy.db",
    },
  },
  {
    title: "Before a deploy, and before the first start",
    examples: {
      check: "catga check src/*.ts --nats nats://nats.internal:4222",
      contracts: "catga contracts src/*.ts > contracts.json",
      setup: "catga setup --replicas 3",
      users: "catga users src/*.ts --as orders-1 > users.conf",
    },
  },
];

/** Returns the example of a command; `undefined`: it has none. */
export function exampleOf(command: string): string | undefined {
  return COMMAND_GROUPS.map(({ examples }) => examples).find((examples) => Object.hasOwn(examples, command))?.[command];
}
