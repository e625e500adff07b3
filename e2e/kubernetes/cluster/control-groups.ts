// The control groups of a cluster: a parent of its own in each hierarchy, so that no kubelet tidies away the pods of another cluster.
import fs from "node:fs";
import path from "node:path";

const ROOT = "/sys/fs/cgroup";

/** Makes `name` in each hierarchy of version 1, or the one of version 2; gives it as kubelet writes it. */
export function makeControlGroup(name: string): string {
  for (const hierarchy of hierarchies()) {
    const folder = path.join(hierarchy, name);
    fs.mkdirSync(folder, { recursive: true });
    // A new cpuset of version 1 has no processor until it is given some.
    for (const file of ["cpuset.cpus", "cpuset.mems"])
      if (path.basename(hierarchy) === "cpuset")
        fs.writeFileSync(path.join(folder, file), fs.readFileSync(path.join(hierarchy, file)));
  }
  return `/${name}`;
}

/** Removes it with all that is in it. Groups whose last process is only just gone are tried again by the next call. */
export function removeControlGroup(name: string): boolean {
  return hierarchies()
    .map((hierarchy) => removeFolders(path.join(hierarchy, name)))
    .every(Boolean);
}

function hierarchies(): string[] {
  if (fs.existsSync(path.join(ROOT, "cgroup.controllers"))) return [ROOT];
  return fs
    .readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "unified")
    .map((entry) => path.join(ROOT, entry.name));
}

function removeFolders(folder: string): boolean {
  if (!fs.existsSync(folder)) return true;
  for (const entry of fs.readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) removeFolders(path.join(folder, entry.name));
  try {
    fs.rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
