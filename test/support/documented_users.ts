/** The users of NATS that the docs describe, with their permissions as they stand there. */
import { readFile } from "node:fs/promises";

/** A user of the docs, of the namespace `default`. */
export interface DocumentedUser {
  /** As the docs call it. */
  readonly name: string;
  /** The id in the subjects of its frames. */
  readonly id: string;
  /** What the subjects of its inbox begin with. */
  readonly inbox: string;
  /** The text of its permissions. */
  readonly permissions: string;
}

/** Reads them from the pages. */
export async function documentedUsers(): Promise<readonly DocumentedUser[]> {
  const [security, entities, workflows, cli] = await Promise.all(
    ["nats.conf", "entities.md", "workflows.md", "cli.md"].map(page),
  );
  const node = permissionsOf(security, "orders-1");
  const commands = blockOf(cli, "# cli");
  const dashboard = more(commands, blockOf(cli, "# dashboard"));
  return [
    { name: "operator", id: "operator", inbox: "_INBOX", permissions: permissionsOf(security, "operator") },
    { name: "orders-1", id: "orders-1", inbox: "_INBOX_orders-1", permissions: node },
    {
      ...{ name: "with entities", id: "orders-1", inbox: "_INBOX_orders-1" },
      permissions: more(node, blockOf(entities, "# entities")),
    },
    {
      ...{ name: "gateway-1", id: "gateway-1", inbox: "_INBOX_gateway-1" },
      permissions: permissionsOf(security, "gateway-1"),
    },
    {
      ...{ name: "with runs", id: "gateway-1", inbox: "_INBOX_gateway-1" },
      permissions: more(permissionsOf(security, "gateway-1"), blockOf(workflows, "# runs"))
        .replace(
          "subscribe: { allow: [",
          (begin) => `${begin}\n"catga.default.event.Order-run.ended"\n"catga.default.event.Order-run.answered"`,
        ),
    },
    { name: "shell", id: "shell", inbox: "_REPLY.default.shell", permissions: permissionsOf(security, "shell") },
    { name: "cli", id: "cli", inbox: "_INBOX", permissions: commands },
    { name: "dashboard", id: "cli", inbox: "_INBOX", permissions: dashboard },
    { name: "changes", id: "cli", inbox: "_INBOX", permissions: more(dashboard, blockOf(cli, "# changes")) },
  ];
}

/** The permissions of the user of `catga check` in docs/cli.md. */
export async function checkPermissions(): Promise<string> {
  const cli = await page("cli.md");
  return more(more(blockOf(cli, "# cli"), blockOf(cli, "# dashboard")), blockOf(cli, "# check"));
}

/** The text of a file of docs/. */
export function page(name: string): Promise<string> {
  return readFile(new URL(`../../docs/${name}`, import.meta.url), "utf8");
}

/** The permissions of a user in docs/nats.conf. */
function permissionsOf(page: string, user: string): string {
  const found = new RegExp(`user: ${user}, password: .*\\n {6}permissions: \\{\\n([\\s\\S]*?)\\n {6}\\}\\n`).exec(page);
  if (found === null) throw new Error(`the page has no permissions of ${user}`);
  return found[1];
}

/** The block of text that begins with this line. */
function blockOf(page: string, title: string): string {
  const found = new RegExp("```text\\n" + title + "\\b.*\\n([\\s\\S]*?)```").exec(page);
  if (found === null) throw new Error(`the page has no block ${title}`);
  return found[1];
}

/** Permissions with further lines to publish to. */
function more(permissions: string, lines: string): string {
  return permissions.replace("publish: { allow: [", (begin) => `${begin}\n${lines}`);
}
