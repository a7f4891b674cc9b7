package bundle

// Media and artifact types of what a bundle carries besides plain OCI images.
const (
	ArtifactTypeEngine    = "application/vnd.islet.engine.v1"
	ArtifactTypeManifests = "application/vnd.islet.manifests.v1"
	ArtifactTypeDocs      = "application/vnd.islet.docs.v1"

	// MediaTypeEngineFile is a layer that is one file of an engine, compressed with zstd.
	MediaTypeEngineFile = "application/vnd.islet.engine.file.v1+zstd"
)

// Annotations on the descriptors of a layout's index.json. They say which component a manifest is.
const (
	AnnotationRefName       = "org.opencontainers.image.ref.name" // images: the full reference, never rewritten
	AnnotationVersion       = "org.opencontainers.image.version"
	AnnotationComponentKind = "dev.islet.component.kind"
	AnnotationComponentName = "dev.islet.component.name"
)

// Annotations on the layers of an engine's manifest.
const (
	AnnotationTitle      = "org.opencontainers.image.title" // relative path of the file: bin/kube
	AnnotationFileMode   = "dev.islet.file.mode"            // octal permission bits: 0755
	AnnotationFileDigest = "dev.islet.file.digest"          // sha256:HEX of the raw content
	AnnotationFileSize   = "dev.islet.file.size"            // raw bytes, decimal
	AnnotationFileLinks  = "dev.islet.file.links"           // relative paths of symlinks to it, comma separated; may be absent
)

// Kind is what a component is.
type Kind string

// The kinds of components.
const (
	KindEngine   Kind = "engine"
	KindImage    Kind = "image"
	KindManifest Kind = "manifest"
	KindDocs     Kind = "docs"
	KindSBOM     Kind = "sbom"
)
