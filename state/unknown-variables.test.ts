import { describe, expect, it } from "vitest";
import { refuseUnknownVariables } from "./unknown-variables.ts";

const daemon = {
  prefix: "CONTIV_NETMASTER_",
  known: ["CONTIV_NETMASTER_LISTEN", "CONTIV_NETMASTER_TLS_CERT", "CONTIV_NETMASTER_PORT_RANGE"],
};
const read = (...names: string[]) =>
  refuseUnknownVariables(Object.fromEntries(names.map((name) => [name, "x"])), daemon);

describe("variables of the environment", () => {
  it.each([
    ["CONTIV_NETMASTER_LISTN", "did you mean CONTIV_NETMASTER_LISTEN?"],
    ["CONTIV_NETMASTER_TLSCERT", "did you mean CONTIV_NETMASTER_TLS_CERT?"],
    ["CONTIV_NETMASTR_LISTEN", "did you mean CONTIV_NETMASTER_LISTEN?"],
    ["CONTVI_NETMASTER_LISTEN", "did you mean CONTIV_NETMASTER_LISTEN?"],
    ["contiv_netmaster_listen", "did you mean CONTIV_NETMASTER_LISTEN?"],
    ["CONTIV_LISTEN", "did you mean CONTIV_NETMASTER_LISTEN?"],
    ["CONTIV_NETMASTER_COLOUR", "--help lists those that there are"],
    ["CONTIV_NETMASTER_", "--help lists those that there are"],
  ])("%s is refused: %s", (name, hint) => {
    expect(() => read("PATH", name)).toThrow(`environment variable ${name} is unknown; ${hint}`);
  });

  it.each([
    [["PATH", "LISTEN", "NETMASTER_LISTENER", "TLS_CERT"]],
    [["CONTIV_NETMASTER_LISTEN", "CONTIV_NETMASTER_TLS_CERT"]],
    [["CONTIV_NETPLUGIN_UPLINK", "CONTIV_CNI_SOCKET", "CONTIV_SANDBOX_DIR", "CONTIV_GIT_COMMIT"]],
    [["CONTIV_NETMASTER_SERVICE_HOST", "CONTIV_NETMASTER_SERVICE_PORT", "CONTIV_NETMASTER_SERVICE_PORT_REST"]],
    [["CONTIV_NETMASTER_PORT", "CONTIV_NETMASTER_PORT_9999_TCP", "CONTIV_NETMASTER_PORT_9999_TCP_ADDR"]],
  ])("%j are no mistake", (names) => expect(() => read(...names)).not.toThrow());
});
