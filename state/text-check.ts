import { z } from "zod";

/** A text that `check` accepts; when `check` returns a string, that is the reason (it completes "<field> …"). */
export function checkedText(maxLength: number, check: (text: string) => unknown): z.ZodString {
  return z
    .string()
    .max(maxLength)
    .check((context) => {
      const problem = check(context.value);
      if (typeof problem === "string") {
        context.issues.push({ code: "custom", message: problem, input: context.value, continue: true });
      }
    });
}
