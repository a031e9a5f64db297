package lint

var Document = document
