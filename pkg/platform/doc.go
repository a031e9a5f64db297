// Package platform holds what this module believes about Salesforce as data.
package platform
