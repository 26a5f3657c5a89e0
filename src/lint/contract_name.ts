/** `catga/contract-name`: a contract must have the name of the constant to which it is assigned. */
import { bare, rule } from "./catga_file.ts";

/**
 * Reports a contract whose name differs from the name of its constant: mostly a copy that was not renamed, and in a
 * cluster two contracts of one name are one contract.
 *
 * The comparison ignores case, `-` and `_`, and `Command`, `Query`, `Event`, `Stream` and `Contract` at the end; if a
 * contract's name has dots, the constant's name has to contain the last token. A constant named `contract`, `command`,
 * `query`, `event` or `stream` may hold a contract of any name. There is no fix: either name may be the right one, and
 * other code may use it.
 */
export const contractName: Deno.lint.Rule = rule((file, context) => ({
  VariableDeclarator({ id, init }): void {
    const kind = file.contractKind(init);
    if (id.type !== "Identifier" || init === null || kind === undefined) return;
    const call = bare(init) as Deno.lint.CallExpression; // cast: `contractKind` has checked the type
    const [name] = call.arguments;
    if (name?.type !== "Literal" || typeof name.value !== "string" || agree(id.name, name.value)) return;
    context.report({
      node: name,
      message: `The ${kind} of the constant ${id.name} is called "${name.value}"`,
      hint:
        `Call it "${id.name}", or rename the constant; nodes agree on the name in quotes, so keep that one if it is in use`,
    });
  },
}));

function agree(constant: string, name: string): boolean {
  if (/^(?:command|query|event|stream|contract)$/.test(constant)) return true;
  const tokens = name.split(".");
  const last = plain(tokens[tokens.length - 1]);
  if (tokens.length > 1) return plain(constant).includes(last);
  return plain(constant) === last || withoutKind(constant) === withoutKind(name);
}

function plain(name: string): string {
  return name.replaceAll(/[-_$]/g, "").toLowerCase();
}

function withoutKind(name: string): string {
  return plain(name).replace(/(?<=.)(?:command|query|event|stream|contract)$/, "");
}
