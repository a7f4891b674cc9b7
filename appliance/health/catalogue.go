package health

import "time"

// The problems of a node that runs alone. What is normal on an air-gapped site is not among them:
// no default route, no DNS server, no time server.
const (
	AddonFailed           Code = "addon-failed"
	AddressChanged        Code = "address-changed"
	AddressMissing        Code = "address-missing"
	AuthorityRotating     Code = "authority-rotating"
	BackupNotCopied       Code = "backup-not-copied"
	BackupOverdue         Code = "backup-overdue"
	BundleDamaged         Code = "bundle-damaged"
	CertificateExpired    Code = "certificate-expired"
	CertificateExpiring   Code = "certificate-expiring"
	ClockBehind           Code = "clock-behind"
	ComponentCrashing     Code = "component-crashing"
	ComponentNotReady     Code = "component-not-ready"
	DatabaseRefused       Code = "database-refused"
	DatabaseUnfit         Code = "database-unfit"
	DatabaseUnreachable   Code = "database-unreachable"
	DatastoreDamaged      Code = "datastore-damaged"
	DatastoreRestored     Code = "datastore-restored"
	DiskBytesLow          Code = "disk-bytes-low"
	DiskInodesLow         Code = "disk-inodes-low"
	DiskSlow              Code = "disk-slow"
	EngineStagingFailed   Code = "engine-staging-failed"
	ImageImportedAgain    Code = "image-imported-again"
	ImageMissing          Code = "image-missing"
	MemoryLow             Code = "memory-low"
	NodeNotReady          Code = "node-not-ready"
	NodeRemoved           Code = "node-removed"
	PortInUse             Code = "port-in-use"
	RouteBroken           Code = "route-broken"
	ServerStandby         Code = "server-standby"
	SnapshotFailed        Code = "snapshot-failed"
	VIPDuplicate          Code = "vip-duplicate"
	VIPMissing            Code = "vip-missing"
	RegistryNotReplicated Code = "registry-not-replicated"
)

// Catalogue lists all problems, the gravest and most fundamental first; screens keep this order.
func Catalogue() []Problem {
	broken := []Code{NodeRemoved, DatastoreDamaged, DatabaseUnreachable, DatabaseRefused, EngineStagingFailed, PortInUse, AddressMissing, DiskBytesLow, DiskInodesLow}
	down := append([]Code{ComponentCrashing, ComponentNotReady}, broken...)
	return []Problem{
		{Code: DatastoreDamaged, Severity: Critical, Title: "failed its integrity check",
			Advice: "nothing is needed if a snapshot is restored by itself; else restore one by hand and replace the disk"},
		{Code: DatabaseUnreachable, Severity: Critical, Title: "does not answer",
			Advice: "bring it back, or the way to it: what to look at is shown here; the site writes nothing until then"},
		{Code: DatabaseRefused, Severity: Critical, Title: "does not let this site in",
			Advice: "change what is shown here, in the database or in the answer file, and restart the appliance"},
		{Code: DatabaseUnfit, Severity: Critical, Title: "is not fit for a site",
			Advice: "change what is shown here in the database"},
		{Code: DiskBytesLow, Severity: Critical, Title: "is almost full", After: 30 * time.Second,
			Advice: "free space: pods are evicted and the datastore stops when it is full"},
		{Code: DiskInodesLow, Severity: Critical, Title: "is running out of inodes", After: 30 * time.Second,
			Advice: "delete directories with many small files: nothing can be created when none is left"},
		{Code: NodeRemoved, Severity: Critical, Title: "was removed from the site",
			Advice: "clean this machine with appliance reset; it can join again with a new token"},
		{Code: AddressMissing, Severity: Critical, Title: "is on no interface of this machine", After: 10 * time.Second,
			Advice: "bring the interface up, or configure the address on it again"},
		{Code: AddressChanged, Severity: Critical, Title: "is not the address this node was installed with", After: 10 * time.Second, CausedBy: []Code{AddressMissing},
			Advice: "give the machine its old address back"},
		{Code: BundleDamaged, Severity: Critical, Title: "does not match its digest",
			Advice: "copy the file again and check it with appliance bundle verify"},
		{Code: EngineStagingFailed, Severity: Critical, Title: "could not be staged", CausedBy: []Code{BundleDamaged, DiskBytesLow, DiskInodesLow},
			Advice: "run appliance preflight: the state directory must be writable and may not forbid programs"},
		{Code: PortInUse, Severity: Critical, Title: "is held by another program",
			Advice: "stop the program, or set another port where the answer file allows it"},
		{Code: CertificateExpired, Severity: Critical, Title: "has expired", CausedBy: []Code{ClockBehind},
			Advice: "restart the appliance, which renews it from its CA; check the clock first"},
		{Code: ComponentCrashing, Severity: Critical, Title: "keeps stopping", CausedBy: broken,
			Advice: "read the end of its log; its last reason is shown here"},
		{Code: ComponentNotReady, Severity: Critical, Title: "is not ready", After: time.Minute, CausedBy: append([]Code{ComponentCrashing}, broken...),
			Advice: "see what it waits for in appliance status, and its log"},
		{Code: NodeNotReady, Severity: Critical, Title: "is not ready for pods", After: time.Minute, CausedBy: down,
			Advice: "see the node's conditions: appliance kubectl describe node"},
		{Code: VIPDuplicate, Severity: Critical, Title: "has another holder",
			Advice: "find the machine with the hardware address shown here, and take the virtual address from it"},
		{Code: VIPMissing, Severity: Critical, Title: "is held by no server", After: 30 * time.Second, CausedBy: append([]Code{NodeNotReady, AddonFailed}, down...),
			Advice: "the reason is shown here; until then use the address of a server"},
		{Code: ImageMissing, Severity: Critical, Title: "is neither on this node nor in the bundle", CausedBy: []Code{BundleDamaged},
			Advice: "bring a bundle that holds it, or correct the name in the manifest"},
		{Code: MemoryLow, Severity: Warning, Title: "is short of memory", After: time.Minute,
			Advice: "stop or limit the pods that take most: appliance kubectl top pods -A --sort-by=memory"},
		{Code: AddonFailed, Severity: Warning, Title: "could not be applied", After: time.Minute, CausedBy: append([]Code{NodeNotReady, ImageMissing}, down...),
			Advice: "the reason is shown here; it is tried again by itself"},
		{Code: ClockBehind, Severity: Warning, Title: "is before the time this program was built",
			Advice: "set the clock (date -s, then hwclock -w) and check the battery of the board"},
		{Code: CertificateExpiring, Severity: Warning, Title: "expires soon and was not renewed", CausedBy: []Code{CertificateExpired},
			Advice: "restart the appliance; if it stays, read its log"},
		{Code: AuthorityRotating, Severity: Warning, Title: "is being rotated",
			Advice: "see appliance cert rotate-ca --status: it goes on by itself once the nodes that it waits for are there"},
		{Code: DatastoreRestored, Severity: Warning, Title: "was replaced by another copy",
			Advice: "check what changed since the time shown here: it is lost"},
		{Code: SnapshotFailed, Severity: Warning, Title: "could not be taken or verified", CausedBy: []Code{DatastoreDamaged, DiskBytesLow, DiskInodesLow},
			Advice: "see the reason shown here; older snapshots are kept"},
		{Code: BackupOverdue, Severity: Warning, Title: "has no recent backup", After: 10 * time.Minute,
			CausedBy: []Code{DatastoreDamaged, SnapshotFailed, DiskBytesLow, DiskInodesLow, ComponentCrashing, ComponentNotReady},
			Advice:   "make one by hand, which tells what is wrong: appliance backup create"},
		{Code: BackupNotCopied, Severity: Warning, Title: "was not copied to another machine", After: 10 * time.Minute,
			CausedBy: []Code{DiskBytesLow, DiskInodesLow, NodeRemoved},
			Advice:   "bring the other machines back, or free space on them; until then copy it by hand"},
		{Code: RegistryNotReplicated, Severity: Warning, Title: "has images that no other server has", After: time.Minute,
			CausedBy: []Code{ComponentCrashing, ComponentNotReady, DiskBytesLow},
			Advice:   "bring the other servers back, or free space on them; what is missing there is copied by itself"},
		{Code: RouteBroken, Severity: Warning, Title: "does not lead to where it should", CausedBy: down,
			Advice: "see all of it, and what is repaired by itself: appliance route list"},
		{Code: DiskSlow, Severity: Warning, Title: "is slow to make writes safe", After: 2 * time.Minute,
			Advice: "look for what else writes to this disk; prefer an SSD for the state directory"},
		{Code: ServerStandby, Severity: Warning, Title: "is a server without a vote", After: time.Minute,
			Advice: "join a third server: two voters would tolerate no loss, and either one's would stop the site"},
		{Code: ImageImportedAgain, Severity: Warning, Title: "had been deleted and was imported again",
			Advice: "find out what deletes images: nothing but the platform should"},
	}
}
