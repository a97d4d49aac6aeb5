import { launchThrough } from "../../deploy/cluster/exec.ts";
import { launchBySmall } from "./launcher.ts";

launchThrough(launchBySmall);
