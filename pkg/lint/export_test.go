package lint

var (
	Document    = document
	OwnSections = ownSections
)
